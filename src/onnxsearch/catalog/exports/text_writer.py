"""Writing of records as CSV and as lines of JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.tables import MOST_FIELDS, cells, columns_of, row, too_many_fields
from onnxsearch.catalog.album_files import new_album_file
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.listing import Records
from onnxsearch.types import JSONValue, Progress, Record


def save_jsonl(records: Records, path: Path, progress: ProgressSink) -> int:
    """Write an object with the fields of `Record` a line, in ASCII; return their number."""
    return _save(records, path, progress, "", lambda record: json.dumps(row(record)) + "\n")


def save_csv(records: Records, path: Path, progress: ProgressSink) -> int:
    """Write the columns of `Tabular.to_pandas` in UTF-8; return the number of records.

    Lists and objects are JSON, True and False are `true` and `false`.

    Raises:
        InvalidArgumentError: There are more than 1,000 different metadata fields.
    """
    known = columns_of(Record)
    # All columns have to be known before the first line.
    columns = dict.fromkeys(known)
    for record in records:
        columns.update(dict.fromkeys(name for name, _ in cells(row(record))))
        if len(columns) > len(known) + MOST_FIELDS:
            raise too_many_fields(len(columns) - len(known))

    def line(record: Record) -> str:
        values = dict(cells(row(record)))
        return _line([_field(values.get(name)) for name in columns])

    return _save(records, path, progress, _line(list(columns)), line)


def _save(
    records: Records, path: Path, progress: ProgressSink, head: str, line: Callable[[Record], str]
) -> int:
    report, number = reporter(progress), 0
    with new_album_file(path, "export") as file:
        file.write(head.encode())
        for number, record in enumerate(records, 1):
            file.write(line(record).encode())
            if number % BATCH == 0:
                report(Progress(number, None))
    report(Progress(number, number))
    return number


def _line(values: Sequence[JSONValue]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue()


def _field(value: JSONValue) -> JSONValue:
    return value if value is None or isinstance(value, str) else json.dumps(value)
