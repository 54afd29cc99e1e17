"""The command `augment`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from onnxsearch import AugmentReport, SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import known_models
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Location,
    ModelPaths,
    Records,
    check_indexed,
    errors_end_the_command,
    records_of,
)


@app.command(epilog=EXIT_CODES)
def augment(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model, by its name in the index. Default: the first one of the index.",
            autocompletion=known_models,
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=1, help="Images that a vector is moved towards.")
    ] = 5,
    alpha: Annotated[
        float,
        typer.Option("--alpha", min=0, help="Power of their similarity that they count with."),
    ] = 3.0,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Store a second vector of each image, moved by the images like it, for search --augmented.

    A second run does only what has changed.
    """
    place = records_of(location, records)
    with errors_end_the_command(), output.interruption_noted():
        check_indexed(location, place)
        with (
            SearchEngine.open(location, records=place, model_path=model_path) as engine,
            output.progress_bar() as progress,
        ):
            report = engine.augment(model, neighbours=neighbours, alpha=alpha, progress=progress)
    if as_json:
        output.print_json(asdict(report))
    else:
        _print(report)


def _print(report: AugmentReport) -> None:
    made = "made anew, " if report.rebuilt else ""
    output.print_line(
        f"{report.model}: {made}{report.images:,} images, {report.written:,} vectors written, "
        f"{report.seconds:.1f} s"
    )
