"""The command `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from onnxsearch import JSONValue, __version__
from onnxsearch._internal.validation import seconds
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.doctor.checks import Check, CheckResult, CheckStatus, run_checks
from onnxsearch.cli.doctor.index import index_checks
from onnxsearch.cli.doctor.machine import machine_checks
from onnxsearch.cli.doctor.packages import extras, runtimes, versions
from onnxsearch.cli.doctor.plugins import plugins
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    AsJSON,
    ModelPaths,
    Records,
    errors_end_the_command,
    records_of,
)
from onnxsearch.errors import without_secrets
from onnxsearch.locations import model_places

_EXIT_CODES = """Exit codes: 0 no error was found, although there may be warnings; 1 an error was
found; 2 wrong usage.""".replace("\n", " ")
_FORMAT = 1
"""Version of what `--json` prints."""
_STYLES = {CheckStatus.OK: "green", CheckStatus.WARNING: "yellow", CheckStatus.ERROR: "bold red"}


@app.command(epilog=_EXIT_CODES)
def doctor(
    location: Annotated[
        str | None,
        typer.Argument(
            metavar="[LOCATION]",
            envvar=["ONNXSEARCH_LOCATION", "MILVUS_URI"],
            help="A folder, a Milvus Lite file (x.db), or the http(s):// address of a Milvus "
            f"server. Default: {DEFAULT_LOCATION}, if it is there.",
        ),
    ] = None,
    records: Records = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Is this .onnx file a model of the index? Repeatable."),
    ] = None,
    model_path: ModelPaths = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds that each check may take.")
    ] = 15,
    as_json: AsJSON = False,
) -> None:
    """Find what is wrong with the installation, the machine and an index, and say what to do.

    Nothing is written or locked, and no password is shown.
    """
    named = location is not None
    location = location or DEFAULT_LOCATION
    place = records_of(location, records)
    with errors_end_the_command():
        seconds("--timeout", timeout)
        checks = [
            Check("versions", versions),
            Check("extras", extras),
            Check("onnxruntime.distributions", runtimes),
            Check("plugins", plugins),
            *machine_checks(timeout),
            *index_checks(
                location,
                place,
                must_exist=named,
                places=model_places(model_path),
                given=model or (),
                patience=timeout,
            ),
        ]
    results = []
    for result in run_checks(checks, timeout):
        results.append(result)
        if not as_json:
            _print(result)
    if as_json:
        output.print_json(_as_json(results, location))
    else:
        output.print_line(_summary(results))
    if any(result.status is CheckStatus.ERROR for result in results):
        raise typer.Exit(1)


def _print(result: CheckResult) -> None:
    style = _STYLES[result.status]
    output.print_line(f"{result.status.value:<8} {result.check}: {result.found}", style=style)
    if result.remedy is not None:
        output.print_line(f"{'':<8} remedy: {result.remedy}")


def _counts(results: Sequence[CheckResult]) -> dict[str, int]:
    return {
        status.value: sum(result.status is status for result in results) for status in CheckStatus
    }


def _summary(results: Sequence[CheckResult]) -> str:
    counts = _counts(results)
    return f"errors: {counts['error']}, warnings: {counts['warning']}, fine: {counts['ok']}"


def _as_json(results: Sequence[CheckResult], location: str) -> dict[str, JSONValue]:
    counts = _counts(results)
    return {
        "format": _FORMAT,
        "version": __version__,
        "location": without_secrets(location),
        "ok": not counts["error"],
        "counts": dict(counts),
        "results": [
            {
                "check": result.check,
                "status": result.status.value,
                "found": result.found,
                "remedy": result.remedy,
            }
            for result in results
        ],
    }
