"""The command `info`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict

from onnxsearch import AugmentedInfo, IndexInfo, JSONValue, ModelFile, ModelInfo
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.index_info import index_info
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Location,
    OldRecords,
    Records,
    check_indexed,
    errors_end_the_command,
    records_of,
)
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.locations import open_stores


@app.command(epilog=EXIT_CODES)
def info(
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    as_json: AsJSON = False,
) -> None:
    """Show the models of an index, its stores, and how much they hold. No model is loaded."""
    place = records_of(location, records, metadata)
    with errors_end_the_command():
        check_indexed(location, place)
        # No engine: the models may be missing, and to say which is what the command is for.
        vectors, store = open_stores(location, place)
        with vectors, store:
            found = index_info(Catalog(vectors, store, DEFAULT_NAMESPACE))
    if as_json:
        output.print_json(_as_json(found))
        return
    for line in _lines(found):
        output.print_line(line)


def _as_json(found: IndexInfo) -> dict[str, JSONValue]:
    document: dict[str, JSONValue] = asdict(found)
    return document


def _lines(found: IndexInfo) -> Iterator[str]:
    yield f"{found.images:,} images in namespace {found.namespace}"
    yield f"  vectors     {found.vectors}"
    yield f"  records     {found.records}"
    if found.root is not None:
        yield f"  root        {found.root}"
    yield f"  identity    {found.identity or 'none yet'}"
    for number, model in enumerate(found.models):
        yield ""
        yield f"{model.name}{' (the default)' if number == 0 else ''}"
        yield from _model_lines(model)
    for space in found.augmented:
        yield ""
        yield from _augmented_lines(space)
    for name, count in found.others.items():
        yield ""
        yield f"collection {name}"
        yield f"  vectors     {count:,}, of a model that the index does not remember"


def _augmented_lines(space: AugmentedInfo) -> Iterator[str]:
    yield space.name
    yield f"  vectors     {space.vectors:,}, {space.neighbours} neighbours, alpha {space.alpha:g}"
    if space.is_ready:
        yield f"  since then  {space.added:,} images added, {space.removed:,} removed"
    else:
        yield f"  not finished: onnxsearch augment --model {space.model}"


def _model_lines(model: ModelInfo) -> Iterator[str]:
    yield f"  vectors     {model.vectors:,} of {model.dimension:,} numbers, {model.metric.value}"
    yield f"  class       {model.class_name}"
    if model.source is not None:
        revision = f", revision {model.source.revision}" if model.source.revision else ""
        yield f"  source      {model.source.kind}: {model.source.name}{revision}"
    if model.file is not None:
        yield from _file_lines("file", model.file)
    for setting in ("profile", "output", "pooling", "layout"):
        value = model.profile if setting == "profile" else model.settings.get(setting)
        if value is not None:
            yield f"  {setting:<11} {value}"
    if model.regions is not None:
        yield f"  regions     of {model.regions:,} images"
    if model.text is not None:
        yield from _file_lines("text model", model.text.file)
        yield from _file_lines("tokenizer", model.text.tokenizer)
    yield f"  fingerprint {model.fingerprint}"
    yield f"  made by     onnxsearch {model.version}"


def _file_lines(label: str, file: ModelFile) -> Iterator[str]:
    there = [path for path in file.paths if os.path.isfile(path)]
    missing = ", not there" if file.paths and not there else ""
    place = next(iter([*there, *file.paths]), file.name or "given as bytes")
    yield f"  {label:<11} {place}{missing}, {file.size / 1e6:.1f} MB"
    yield f"  {'':<11} sha256 {file.sha256}"
