"""The command `map`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import AlbumMap, JSONValue, SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import ModelOptions
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    FilterText,
    LocationArgument,
    ModelPaths,
    OldRecords,
    Records,
    check_indexed,
    errors_end_the_command,
    filter_of,
    records_of,
)
from onnxsearch.cli.stored_models import searched_models


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
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The model to compare with: its name in the index, or its file."
        ),
    ] = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Write a page that shows all images in a plane, similar ones near each other."""
    options = ModelOptions([model] if model else None, None, None, None, None, None)
    place, wanted = records_of(location, records, metadata), filter_of(filter)
    with errors_end_the_command():
        check_indexed(location, place)
        embedders, names = searched_models(options, location, place)
        with SearchEngine.open(
            location, embedders=embedders, records=place, model_path=model_path
        ) as engine:
            name = names[0] if names else None
            with output.progress_bar("Mapping") as progress:
                album = engine.map(name, filter=wanted, seed=seed, progress=progress)
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
