"""The metadata fields of an index, as a sample of its records has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from onnxsearch.engine import SearchEngine
from onnxsearch.types import JSONValue, Metadata

_SAMPLE = 1_000
"""Records of which the fields are shown."""
_MOST_FIELDS = 100
_MOST_VALUES = 20
_LONGEST_VALUE = 100
_DEEPEST_FIELD = 3


class FieldSample(NamedTuple):
    """A field that filters can name."""

    types: list[JSONValue]
    """Names of the types that its values have."""
    values: list[JSONValue]
    """Some of its values, short ones only."""


def sampled_fields(engine: SearchEngine) -> dict[str, FieldSample]:
    """Return the fields of some records, with some of their values, by name.

    Args:
        engine: The engine.

    Raises:
        StoreError: A store failed.
    """
    values: dict[str, dict[JSONValue, None]] = {}
    types: dict[str, dict[str, None]] = {}
    for record in islice(engine.records(), _SAMPLE):
        for name, value in _leaves(record.metadata):
            if name in types or len(types) < _MOST_FIELDS:
                types.setdefault(name, {})[_type_name(value)] = None
                found = values.setdefault(name, {})
                for each in value if isinstance(value, list | tuple) else [value]:
                    if len(found) < _MOST_VALUES and _is_short(each):
                        found[each] = None
    return {name: FieldSample([*types[name]], [*values[name]]) for name in sorted(types)}


def _leaves(metadata: Metadata, path: str = "", depth: int = 1) -> Iterator[tuple[str, JSONValue]]:
    """Yield the fields of metadata with their values, those of objects by `outer.inner`."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            if depth < _DEEPEST_FIELD:
                yield from _leaves(value, f"{path}{name}.", depth + 1)
        else:
            yield path + name, value


def _type_name(value: JSONValue) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case None:
            return "null"
    return "list"


def _is_short(value: JSONValue) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_VALUE
    return isinstance(value, int | float)
