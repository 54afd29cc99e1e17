"""The command `map`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import AlbumMap, JSONValue
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import ModelOptions
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    ComparedModel,
    FilterText,
    LocationArgument,
    ModelPaths,
    OldRecords,
    Records,
    errors_end_the_command,
    filter_of,
    records_of,
)
from onnxsearch.cli.stored_models import opened


@app.command("map", epilog=EXIT_CODES)
def map_album(
    location: LocationArgument = DEFAULT_LOCATION,
    page: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write.")
    ] = Path("map.html"),
    filter: FilterText = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed gives the same map.")
    ] = 0,
    records: Records = None,
    metadata: OldRecords = None,
    model: ComparedModel = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Write a page that shows all images in a plane, similar ones near each other."""
    options = ModelOptions([model] if model else None)
    place, wanted = records_of(location, records, metadata), filter_of(filter)
    with (
        errors_end_the_command(),
        opened(options, location, place, model_path) as (engine, searched),
    ):
        with output.progress_bar("Mapping") as progress:
            album = engine.map(searched.name, filter=wanted, seed=seed, progress=progress)
        written = album.to_html(page)
    if as_json:
        output.print_json(_as_json(album, written))
        return
    for line in repr(album).splitlines()[1:]:
        output.print_line(line)
    output.print_line(f"{len(album):,} images, {len(album.labels):,} clusters")
    output.print_note(f"the page is {written}")


def _as_json(album: AlbumMap, page: Path) -> dict[str, JSONValue]:
    sizes = Counter(album.clusters.tolist())
    return {
        "page": str(page),
        "model": album.model,
        "images": album.to_dicts(),
        "clusters": [
            {"label": label, "medoid": medoid, "images": sizes[number]}
            for number, (label, medoid) in enumerate(zip(album.labels, album.medoids, strict=True))
        ],
    }
