"""The command `compare`."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import Comparison, Hit, JSONValue
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
    errors_end_the_command,
    records_of,
)
from onnxsearch.cli.stored_models import opened

_NAME = 28
"""Columns for a file's name."""


@app.command(epilog=EXIT_CODES)
def compare(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image to search with.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model: its name in the index, or as it was given to index; two or more. "
            "Default: all models of the index.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Images per model.")] = 10,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write an HTML page to this file.")
    ] = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Show the hits of different models for IMAGE side by side, and how far the models agree."""
    options = ModelOptions(model, profile, name, model_output, pooling, layout)
    place = records_of(location, records, metadata)
    with errors_end_the_command():
        check_image(image)
        with opened(options, location, place, model_path) as (engine, searched):
            comparison = engine.compare(image, limit=limit, models=searched.names)
        if html is not None:
            comparison.to_html(html)
    if as_json:
        output.print_json(_as_json(comparison))
        return
    _print(comparison)
    if html is not None:
        output.print_note(f"the page is {html}")


def _print(comparison: Comparison) -> None:
    output.print_line(f"{'#':>3}  " + "".join(f"{name:{_NAME + 8}}" for name in comparison.models))
    rows = zip_longest(*comparison.results.values())
    for rank, hits in enumerate(rows, 1):
        output.print_line(f"{rank:>3}  " + "".join(map(_cell, hits)))
    for each in comparison.agreements:
        output.print_line(
            f"{' / '.join(each.models)}: overlap {each.overlap:.2f}, rank-biased overlap "
            f"{each.rank_biased_overlap:.2f}, Kendall's tau {each.kendall_tau:.2f}"
        )


def _cell(hit: Hit | None) -> str:
    if hit is None:
        return " " * (_NAME + 8)
    name = output.printable(Path(hit.uri or hit.id).name)
    name = name if len(name) < _NAME else f"{name[: _NAME - 2]}…"
    return f"{hit.distance:6.4f}  {name:{_NAME}}"


def _as_json(comparison: Comparison) -> dict[str, JSONValue]:
    return {
        "results": {
            name: output.results_as_json(results) for name, results in comparison.results.items()
        },
        # JSON has no NaN: fewer than two common hits have no order to compare.
        "agreements": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(each).items()
            }
            for each in comparison.agreements
        ],
    }
