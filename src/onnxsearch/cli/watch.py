"""The command `watch`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import (
    Layouts,
    ModelOptions,
    Models,
    Names,
    Outputs,
    Poolings,
    Profiles,
    Regions,
)
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    Excludes,
    IncludeHidden,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    Root,
    errors_end_the_command,
    records_of,
)
from onnxsearch.cli.stored_models import filling

_EXIT_CODES = """Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 an error, described on standard error;
2 wrong usage; 141 the reader of the output has left.""".replace("\n", " ")


@app.command(epilog=_EXIT_CODES)
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")],
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model: Models = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    regions: Regions = False,
    model_path: ModelPaths = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep entries whose files are gone from DIR.")
    ] = False,
    exclude: Excludes = None,
    include_hidden: IncludeHidden = False,
    root: Root = None,
    polling: Annotated[
        bool,
        typer.Option("--polling", help="Look at all files every second, as for network shares."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line for each report.")
    ] = False,
) -> None:
    """Index DIR, and keep the index up to date until Ctrl-C."""
    options = ModelOptions(model, profile, name, model_output, pooling, layout, regions=regions)
    place = records_of(location, records, metadata)
    with (
        _ended_by_signals(),
        errors_end_the_command(),
        filling(options, location, place, model_path) as engine,
    ):
        for report in engine.watch(
            folder,
            prune=not keep,
            exclude=exclude or (),
            include_hidden=include_hidden,
            root=root,
            polling=polling,
        ):
            if as_json:
                output.print_json(output.report_as_json(report, location), indent=None)
            else:
                output.print_report(report, location)
            output.flush()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the command at once; what was stored stays."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt
