"""The options that say which labels images have, and the labels that they stand for."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import InvalidArgumentError, Record, SearchEngine
from onnxsearch.cli import output
from onnxsearch.indexing.sources.files import source_file
from onnxsearch.indexing.sources.table_rows import BadRow, TableRow
from onnxsearch.indexing.sources.text_tables import CsvRows, JsonRows

LabelField = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FIELD",
        help="The metadata field that holds the labels. Default: the name of the folder that an "
        "image is in.",
    ),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels-file",
        metavar="FILE",
        help="A table (.csv, .tsv, .jsonl) of labels instead, with the columns image and label. "
        "An image is an id, or a path from the folder of the table.",
    ),
]
UnknownLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--unknown",
        metavar="LABEL",
        help="A label that says nothing, such as the folder of new images; repeatable.",
    ),
]

_IMAGE, _LABEL = "image", "label"
"""Columns of a table of labels."""


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """Where one command finds labels."""

    field: str | None = None
    file: Path | None = None
    unknown: Sequence[str] = ()

    @property
    def are_given(self) -> bool:
        """Whether an option says which images have labels."""
        return self.field is not None or self.file is not None or bool(self.unknown)

    def of(self, engine: SearchEngine) -> dict[str, object]:
        """Return the labels of the images that have one, by id.

        Raises:
            InvalidArgumentError: There are two places of labels, the table cannot be used, or no
                image has a label that is to be unknown.
            ImageError: The table cannot be read.
            StoreError: A store failed.
        """
        if self.field is not None and self.file is not None:
            raise InvalidArgumentError("--labels and --labels-file: expected one of the two")
        found = _of_table(engine, self.file) if self.file else self._of_records(engine)
        labels = {id: label for id, label in found if label is not None and label != ""}
        _check_unknown(self.unknown, {str(label) for label in labels.values()})
        return {id: label for id, label in labels.items() if str(label) not in self.unknown}

    def _of_records(self, engine: SearchEngine) -> Iterator[tuple[str, object]]:
        for record in engine.records():
            yield record.id, record.metadata.get(self.field) if self.field else _folder(record)


def _of_table(engine: SearchEngine, file: Path) -> Iterator[tuple[str, object]]:
    """Yield the ids of the images that a table names, with their labels."""
    path = source_file(file, "--labels-file")
    table, folder = _table(path), os.path.dirname(path)
    images: dict[str, set[str]] = defaultdict(set)
    for image in table:
        images[image].add(image)
        images[os.path.abspath(os.path.join(folder, image))].add(image)
    used: set[str] = set()
    for record in engine.records():
        named = {image for name in (record.id, *record.paths) for image in images.get(name, ())}
        labels = {image: table[image] for image in sorted(named)}
        if len(set(labels.values())) > 1:
            raise InvalidArgumentError(
                f"--labels-file {path!r} has several labels of one image and its copies: "
                f"{labels!s:.300}"
            )
        used |= named
        yield from ((record.id, label) for label in labels.values())
    if unused := table.keys() - used:
        output.print_note(
            f"{len(unused):,} of {len(table):,} images of {path!r} are not in the index, such as "
            f"{min(unused)!r:.300}. Expected ids, or paths from the folder of the table"
        )


def _table(path: str) -> dict[str, object]:
    """Return the labels by image, as a table has them.

    Raises:
        InvalidArgumentError: It is no table with these columns, or has two labels of an image.
        ImageError: It cannot be read.
    """
    labels: dict[str, object] = {}
    for row in _rows(path):
        where = f"--labels-file {path!r}: row {row.number}"
        if isinstance(row, BadRow):
            raise InvalidArgumentError(f"{where} {row.reason}")
        image, label = row.cells.get(_IMAGE), row.cells.get(_LABEL)
        if not isinstance(image, str) or not isinstance(label, str | int | float | bool | None):
            raise InvalidArgumentError(
                f"{where} has image {image!r:.80} and label {label!r:.80}: expected an id or a "
                "path, and a text or a number"
            )
        if labels.setdefault(image, label) != label:
            raise InvalidArgumentError(
                f"{where}: image {image!r:.200} has label {label!r:.80}, and "
                f"{labels[image]!r:.80} in a row before"
            )
    return labels


def _rows(path: str) -> Iterable[TableRow | BadRow]:
    ending = os.path.splitext(path)[1].lower()
    if ending in (".jsonl", ".ndjson"):
        return JsonRows(path)
    if ending not in (".csv", ".tsv"):
        raise InvalidArgumentError(
            f"--labels-file {path!r}: expected a table that ends in .csv, .tsv or .jsonl"
        )
    rows = CsvRows(path, [_IMAGE, _LABEL])
    if not {_IMAGE, _LABEL} <= {*rows.columns}:
        raise InvalidArgumentError(
            f"--labels-file {path!r} has the columns {', '.join(rows.columns):.300}: expected "
            f"{_IMAGE} and {_LABEL}"
        )
    return rows


def _folder(record: Record) -> str | None:
    return None if record.uri is None else Path(record.uri).parent.name


def _check_unknown(unknown: Sequence[str], labels: Collection[str]) -> None:
    if missing := [label for label in unknown if label not in labels]:
        raise InvalidArgumentError(
            f"--unknown {missing[0]!r:.80}: no image has this label, they have "
            f"{', '.join(sorted(labels)) or 'none':.300}"
        )
