"""The command `search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import (
    Layouts,
    ModelOptions,
    Names,
    Outputs,
    Poolings,
    Profiles,
)
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    check_image,
    check_indexed,
    errors_end_the_command,
    records_of,
)
from onnxsearch.cli.stored_models import searched_models


@app.command(epilog=EXIT_CODES)
def search(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image to search with.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Images to show.")] = 10,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model to search with: its name in the index, or as it was given to index. "
            "Default: the first one of the index.",
        ),
    ] = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Show the indexed images that are most similar to IMAGE, nearest first."""
    models = [model] if model else None
    options = ModelOptions(models, profile, name, model_output, pooling, layout)
    place = records_of(location, records, metadata)
    with errors_end_the_command():
        check_image(image)
        check_indexed(location, place)
        embedders, names = searched_models(options, location, place)
        with SearchEngine.open(
            location, embedders=embedders, records=place, model_path=model_path
        ) as engine:
            results = engine.search(image, limit=limit, model=names[0] if names else None)
    if as_json:
        output.print_json(output.results_as_json(results))
    else:
        output.print_results(results)
