"""The commands `list` and `export`, which need no model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import Record
from onnxsearch._internal.tables import row
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.exports.saving import save_export
from onnxsearch.catalog.listing import Records as StoredRecords
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    FilterText,
    Location,
    OldRecords,
    Records,
    check_indexed,
    errors_end_the_command,
    filter_of,
    records_of,
)
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.locations import open_stores


@app.command("list", epilog=EXIT_CODES)
def list_images(
    limit: Annotated[
        int | None, typer.Option("--limit", "-k", min=1, help="Images to show; by default all.")
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(
            "--order-by",
            metavar="NAME",
            help="id, uri, modified or a metadata field; with - before it, descending.",
        ),
    ] = None,
    filter: FilterText = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    as_json: AsJSON = False,
) -> None:
    """List the indexed images with their metadata. No model is loaded."""
    with _catalog(location, records_of(location, records, metadata)) as catalog:
        stored = StoredRecords(catalog.records, filter_of(filter), order_by)
        found = islice(stored, limit)
        if as_json:
            output.print_json({"records": [row(record) for record in found]})
        else:
            _print(found, "nothing is indexed here" if filter is None else "no image matches")


@app.command(epilog=EXIT_CODES)
def export(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A file that ends in .parquet (records and vectors), .csv or .jsonl (records).",
        ),
    ],
    filter: FilterText = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    as_json: AsJSON = False,
) -> None:
    """Write the index to a file for other programs. No model is loaded."""
    with (
        _catalog(location, records_of(location, records, metadata)) as catalog,
        output.progress_bar("Exporting") as progress,
    ):
        number = save_export(catalog, path, filter_of(filter), progress)
    if as_json:
        output.print_json({"path": str(path), "images": number})
    else:
        output.print_line(f"{number:,} {'image' if number == 1 else 'images'} in {path}")


@contextmanager
def _catalog(location: str, records: str | None) -> Iterator[Catalog]:
    """Open an index without its models, which may be missing."""
    with errors_end_the_command():
        check_indexed(location, records)
        vectors, store = open_stores(location, records)
        with vectors, store:
            yield Catalog(vectors, store, DEFAULT_NAMESPACE)


def _print(records: Iterator[Record], nothing: str) -> None:
    empty = True
    for record in records:
        name = output.image_name(record.id, record.file)
        output.print_line("  ".join([name, *_notes(record)]))
        empty = False
    if empty:
        output.print_note(nothing)


def _notes(record: Record) -> Iterator[str]:
    if record.file is not None and record.id not in (record.file, record.uri):
        yield f"id={record.id}"
    yield from (f"{name}={value}" for name, value in record.metadata.items())
    copies = len(record.paths) - (record.file is not None)
    if copies:
        yield f"({copies} {'copy' if copies == 1 else 'copies'})"
