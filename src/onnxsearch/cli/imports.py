"""The command `import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    errors_end_the_command,
    records_of,
)


@app.command("import", epilog=EXIT_CODES)
def import_file(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .parquet file that `export` wrote.")
    ],
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Store the images of an exported file, without computing their vectors again.

    A new index takes over the models of the file.
    """
    with (
        errors_end_the_command(),
        SearchEngine.open(
            location, records=records_of(location, records, metadata), model_path=model_path
        ) as engine,
        output.progress_bar("Importing") as progress,
    ):
        report = engine.import_from(path, progress=progress)
    if as_json:
        output.print_json(asdict(report))
    else:
        output.print_line(
            f"{report.copied:,} stored, {report.unchanged:,} unchanged in {report.seconds:.1f} s"
        )
