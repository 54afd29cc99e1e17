"""Tables in text files: CSV and JSON Lines, read in bounded memory."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from onnxsearch.errors import BrokenImageError, InvalidArgumentError
from onnxsearch.indexing.sources.files import open_source
from onnxsearch.indexing.sources.table_rows import BadRow, TableRow

_MOST_LINE = 2**24
"""Bytes of a line, at most: 16 MiB."""

_DELIMITERS = ",;\t|"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like that of UTF-16
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,20})?")
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)

_Conversion: TypeAlias = Callable[[str], object]


class CsvRows:
    """The rows of a CSV file.

    The first line names the columns. Values are separated by commas, semicolons, tabs or
    bars, whichever the first line has most of, and may be quoted. The text is UTF-8, or
    UTF-16 with a byte order mark. A column whose values all are numbers, or all are
    `true` or `false`, has such values; numbers with leading zeros are text.

    Args:
        path: Absolute path of the file.
        as_text: Columns whose values stay text.

    Raises:
        InvalidArgumentError: The first line does not name columns.
        ImageError: The file cannot be read.
    """

    def __init__(self, path: str, as_text: Collection[str] = ()) -> None:
        self._path = path
        self._as_text = as_text
        with _lines(path) as lines:
            header = next(lines, "")
        self._delimiter = max(_DELIMITERS, key=header.count)
        try:
            self._header = next(csv.reader([header], delimiter=self._delimiter), [])
        except csv.Error:  # a name of more than 128 KiB
            self._header = []
        named = [name for name in self._header if name]
        if not named or len(set(named)) < len(named):
            raise InvalidArgumentError(
                f"the first line of {path!r} is {header[:200]!r}: expected different names of "
                "columns, separated by commas"
            )

    @property
    def columns(self) -> Sequence[str]:
        """The names in the first line."""
        return [name for name in self._header if name]

    @property
    def binary(self) -> Sequence[str]:
        """None: a text holds no bytes."""
        return ()

    def __iter__(self) -> Iterator[TableRow | BadRow]:
        """Yield the rows."""
        conversions = self._conversions()
        for number, cells in self._records():
            if isinstance(cells, str):
                yield BadRow(number, cells)
            elif len(cells) > len(self._header):
                yield BadRow(
                    number, f"has {len(cells)} values: expected {len(self._header)}, as columns"
                )
            elif cells:
                pairs = zip(self._header, cells, conversions, strict=False)
                yield TableRow(
                    number, {name: to(cell) for name, cell, to in pairs if name and cell}
                )

    def _records(self) -> Iterator[tuple[int, list[str] | str]]:
        """Yield each row as its number, and its values or the reason why it has none."""
        with _lines(self._path) as lines:
            reader = csv.reader(lines, delimiter=self._delimiter)
            next(reader, None)
            number = 0
            while True:
                number += 1
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield number, f"cannot be read: {error}"
                    continue
                if cells is None:
                    return
                yield number, cells

    def _conversions(self) -> Sequence[_Conversion]:
        """Return for each column what makes its values of text."""
        kinds = [
            [] if name in self._as_text else [_INTEGER, _NUMBER, _BOOLEAN] for name in self._header
        ]
        for _, cells in self._records():
            for left, cell in zip(kinds, cells, strict=False):
                if left and cell and not isinstance(cells, str):
                    left[:] = [kind for kind in left if kind.fullmatch(cell)]
        return [_CONVERSIONS[kind[0]] if kind else str for kind in kinds]


_CONVERSIONS: Mapping[re.Pattern[str], _Conversion] = {
    _INTEGER: int,
    _NUMBER: float,
    _BOOLEAN: lambda text: text.lower() == "true",
}


class JsonRows:
    """The rows of a JSON Lines file: a JSON object on each line.

    Args:
        path: Absolute path of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def columns(self) -> None:
        """Each row names its own."""
        return None

    @property
    def binary(self) -> Sequence[str]:
        """None: a text holds no bytes."""
        return ()

    def __iter__(self) -> Iterator[TableRow | BadRow]:
        """Yield the rows."""
        with _lines(self._path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _json_row(number, line)


def _json_row(number: int, line: str) -> TableRow | BadRow:
    try:
        cells = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(number, f"is not JSON: {error}")
    if not isinstance(cells, dict):
        return BadRow(number, f"is a JSON {type(cells).__name__}: expected an object")
    return TableRow(number, cells)


@contextmanager
def _lines(path: str) -> Iterator[Iterator[str]]:
    """Open a text, and give its lines.

    Bytes that are not UTF-8 become half surrogate pairs, as in names of files.

    Raises:
        BrokenImageError: A line is too long, or the file is not text.
    """
    with open_source(path) as file:
        head = file.read(4)
        bom, encoding = next(
            ((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", "utf-8")
        )
        file.seek(len(bom))
        errors = "surrogateescape" if encoding == "utf-8" else "strict"
        text = io.TextIOWrapper(file, encoding, errors, newline="")
        try:
            yield _bounded(text, path)
        except UnicodeError as error:
            raise BrokenImageError(f"{path!r} is not text in {encoding}: {error}") from error
        finally:
            text.detach()  # whoever opened the file closes it


def _bounded(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    while line := text.readline(_MOST_LINE):
        if len(line) == _MOST_LINE:
            raise BrokenImageError(
                f"{path!r} has a line of more than {_MOST_LINE:,} characters: it is not read from "
                "there on"
            )
        yield line
