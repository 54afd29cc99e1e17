"""The command `duplicates`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import ModelOptions
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    ComparedModel,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    errors_end_the_command,
    records_of,
)
from onnxsearch.cli.stored_models import opened


@app.command(epilog=EXIT_CODES)
def duplicates(
    max_distance: Annotated[
        float,
        typer.Option(
            "--max-distance",
            "-d",
            min=0,
            help="How far apart duplicates may be. The default finds images whose pixels are the "
            "same; with the bundled model, 0.4 also finds most smaller or recompressed versions.",
        ),
    ] = 0.001,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Also write a page to review the groups: which images to keep or remove.",
        ),
    ] = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model: ComparedModel = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Show groups of images that look alike, exact copies of files included."""
    options = ModelOptions([model] if model else None)
    place = records_of(location, records, metadata)
    with (
        errors_end_the_command(),
        opened(options, location, place, model_path) as (engine, searched),
    ):
        with output.progress_bar("Comparing") as progress:
            groups = engine.duplicates(max_distance, model=searched.name, progress=progress)
        if html is not None:
            with output.progress_bar("Reading") as progress:
                groups.to_html(html, progress=progress)
    if as_json:
        output.print_json({"max_distance": max_distance, "groups": [list(g) for g in groups]})
        return
    _print(groups)
    if html is not None:
        output.print_note(f"the page is {html}")


def _print(groups: Sequence[Sequence[str]]) -> None:
    for number, group in enumerate(groups, 1):
        output.print_line(f"{number}. {len(group)} images", style="bold")
        for member in group:
            output.print_line(f"   {output.short_path(member)}")
    if not groups:
        output.print_line("no duplicates")
