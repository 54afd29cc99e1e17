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
    Records,
    check_image,
    check_indexed,
    errors_end_the_command,
    records_of,
)


@app.command(epilog=EXIT_CODES)
def search(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image to search with.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Images to show.")] = 10,
    location: Location = DEFAULT_LOCATION,
    metadata: Records = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The model to search with, as it was given to index."),
    ] = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    as_json: AsJSON = False,
) -> None:
    """Show the indexed images that are most similar to IMAGE, nearest first."""
    models = [model] if model else None
    options = ModelOptions(models, profile, name, model_output, pooling, layout)
    records = records_of(location, metadata)
    with errors_end_the_command():
        check_image(image)
        check_indexed(location, records)
        embedders = options.embedders()
        with SearchEngine.open(location, embedders=embedders, metadata=records) as engine:
            results = engine.search(image, limit=limit)
    if as_json:
        output.print_json(output.results_as_json(results))
    else:
        output.print_results(results)
