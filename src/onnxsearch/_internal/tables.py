"""Rows as dictionaries, as a pandas data frame and as an Arrow table."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from onnxsearch.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from _typeshed import DataclassInstance

    from onnxsearch.types import JSONValue

_METADATA = "metadata"
"""The column whose values are objects: each of its fields becomes a column."""
MOST_FIELDS = 1000
"""Metadata fields that a table shows, at most. Names of fields that differ from image to image
are data; as columns, nearly empty, they would fill the memory."""


class Tabular(ABC):
    """Something that can be shown as a table: search results, records, reports."""

    __slots__ = ()

    _columns: ClassVar[Mapping[str, str]]
    """The columns that every table has, with the annotations of their values."""

    @abstractmethod
    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return the rows as dictionaries by column, of values that JSON has."""

    def to_pandas(self) -> pd.DataFrame:
        r"""Return the rows as a pandas data frame; needs the extra `[pandas]`.

        Each metadata field is a column, named `metadata.` and the field's name. Integers stay
        exact where values are missing (type Int64). Bytes in file names that are not UTF-8 are
        shown as escapes such as `\udcff`.

        Raises:
            MissingExtraError: pandas is not installed.
            InvalidArgumentError: The rows have more than 1,000 different metadata fields.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_package("pandas", extra="pandas") from error
        found = _by_column(self._columns, self.to_dicts())
        return pd.DataFrame(
            {name: _series(values, self._columns.get(name)) for name, values in found.items()}
        )

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table of Apache Arrow; needs the extra `[arrow]`.

        The columns are those of `to_pandas`. A metadata field whose values are all booleans,
        numbers, text or lists of one of these has that type; any other field holds JSON text.

        Raises:
            MissingExtraError: pyarrow is not installed.
            InvalidArgumentError: The rows have more than 1,000 different metadata fields.
        """
        try:
            import pyarrow as pa
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_package("pyarrow", extra="arrow") from error
        found = _by_column(self._columns, self.to_dicts())
        return pa.table(
            {name: _array(values, self._columns.get(name)) for name, values in found.items()}
        )


def row(value: DataclassInstance) -> dict[str, JSONValue]:
    """Return the fields of a dataclass as values that JSON has."""
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: JSONValue | Enum) -> JSONValue:
    if isinstance(value, Enum):
        plain: JSONValue = value.value
        return plain
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def columns_of(kind: type[DataclassInstance]) -> dict[str, str]:
    """Return the columns of a dataclass without that of the metadata, and their annotations."""
    return {field.name: str(field.type) for field in fields(kind) if field.name != _METADATA}


def _by_column(
    known: Collection[str], rows: Sequence[Mapping[str, JSONValue]]
) -> dict[str, list[JSONValue]]:
    """Return the values by column, None where a row has no such value."""
    flat = [dict(cells(row)) for row in rows]
    names = list(dict.fromkeys(chain(known, *flat)))
    if len(names) > len(known) + MOST_FIELDS:
        raise too_many_fields(len(names) - len(known))
    return {name: [row.get(name) for row in flat] for name in names}


def too_many_fields(number: int) -> InvalidArgumentError:
    """Return the error for metadata whose fields do not fit into a table."""
    return InvalidArgumentError(
        f"the metadata have {number:,} different fields: a table has at most {MOST_FIELDS:,}. Use "
        "to_dicts() or a .jsonl file, or select images with fewer fields by a filter"
    )


def cells(row: Mapping[str, JSONValue]) -> Iterator[tuple[str, JSONValue]]:
    """Yield the columns of a row with their values: each metadata field is one."""
    for name, value in row.items():
        if name == _METADATA and isinstance(value, Mapping):
            yield from ((f"{name}.{_text(field)}", _text(inner)) for field, inner in value.items())
        else:
            yield name, _text(value)


def readable(text: str) -> str:
    """Return text as valid Unicode: bytes of a file name that are not UTF-8 become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _text(value: JSONValue) -> JSONValue:
    """Return text that is valid Unicode; other values as they are."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value


def _series(values: list[JSONValue], annotation: str | None) -> pd.Series:
    """Return a column; `annotation` is that of its values, None for a metadata field."""
    import pandas as pd

    present = [value for value in values if value is not None]
    whole = bool(present) and len(present) < len(values) and all(type(v) is int for v in present)
    exact = whole if annotation is None else _kind(annotation) == "int"
    return pd.Series(values, dtype="Int64" if exact else None)


def _array(values: list[JSONValue], annotation: str | None) -> pa.Array:
    """Return a column; `annotation` is that of its values, None for a metadata field."""
    import pyarrow as pa

    if annotation is not None:
        kinds = {
            "int": pa.int64(),
            "float": pa.float64(),
            "bool": pa.bool_(),
            "tuple[str, ...]": pa.list_(pa.string()),
        }
        return pa.array(values, kinds.get(_kind(annotation), pa.string()))
    if not any(_is_nested(value) for value in values):
        try:
            return pa.array(values)
        except pa.ArrowException:
            pass  # values of several types
    return pa.array(_as_json(values), pa.string())


def _kind(annotation: str) -> str:
    return annotation.removesuffix(" | None")


def _is_nested(value: JSONValue) -> bool:
    """Return whether a value is an object, or a list with an object or a list in it."""
    if isinstance(value, list):
        return any(isinstance(each, Mapping | list) for each in value)
    return isinstance(value, Mapping)


def _as_json(values: Iterable[JSONValue]) -> list[str | None]:
    return [None if value is None else json.dumps(value) for value in values]
