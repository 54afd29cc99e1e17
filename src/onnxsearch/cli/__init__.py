"""The command line: `onnxsearch index DIR`, `onnxsearch search IMAGE`."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import TYPE_CHECKING, NoReturn, TextIO

from onnxsearch.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxsearch.cli.output import OutputError

PACKAGES = ("rich", "typer")
"""Packages of the extra `cli`."""


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    try:
        _run()
    except KeyboardInterrupt:  # while modules are imported; later, typer ends the process
        sys.exit(130)


def _run() -> None:
    _replace_closed_streams()
    try:
        from onnxsearch.cli import (  # they add their commands
            advise,  # noqa: F401
            augment,  # noqa: F401
            classify,  # noqa: F401
            compare,  # noqa: F401
            duplicates,  # noqa: F401
            hub,  # noqa: F401
            imports,  # noqa: F401
            info,  # noqa: F401
            map,  # noqa: F401
            mcp,  # noqa: F401
            models,  # noqa: F401
            output,
            records,  # noqa: F401
            search,  # noqa: F401
            serve,  # noqa: F401
            verify,  # noqa: F401
            watch,  # noqa: F401
        )
        from onnxsearch.cli.app import app
        from onnxsearch.cli.doctor import command  # noqa: F401
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in PACKAGES:
            raise
        sys.stderr.write(f"error: {MissingExtraError.for_package(package, extra='cli')}\n")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter of a file's name must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    try:
        try:
            app()
        finally:
            output.flush()
    except OSError as error:  # help and version are written by typer
        _end(output.OutputError(error))
    except output.OutputError as error:
        _end(error)


def _replace_closed_streams() -> None:
    """Let a stream that was closed before the start discard its text."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _end(error: OutputError) -> NoReturn:
    """End the process whose output cannot be written."""
    from onnxsearch.cli import output

    _discard_output()
    if error.reader_has_left:
        sys.exit(141)  # what a shell reports of a program that SIGPIPE ends
    output.print_error(str(error))
    sys.exit(1)


def _discard_output() -> None:
    """Redirect standard output, so that Python does not write the rest of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # Which line of the library warns is of no use to whoever types a command.
    del category, filename, lineno, line
    (file or sys.stderr).write(f"warning: {message}\n")
