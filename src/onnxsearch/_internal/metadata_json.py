"""Metadata as JSON text that every store keeps alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date

from onnxsearch._internal.iso_time import iso_text
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import JSONValue, Metadata, MetadataInput, MetadataValue


def metadata_text(metadata: MetadataInput) -> str:
    """Return `metadata` as compact JSON text, in ASCII; dates and times as ISO 8601 text.

    Raises:
        InvalidArgumentError: `metadata` is not a mapping, is nested too deeply, or holds a
            value that some back end cannot keep: a key that is not a string, NaN or
            infinity, an integer of more than 64 bits, half a surrogate pair, or a type
            that JSON does not have.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(
            f"metadata of type {type(metadata).__name__}: expected a mapping of field names to "
            "values"
        )
    try:
        return json.dumps(_plain(metadata, "metadata"), separators=(",", ":"))
    except RecursionError as error:
        raise InvalidArgumentError(
            "metadata are nested too deeply, or hold themselves: expected at most some hundred "
            "levels"
        ) from error


def same_metadata(one: Metadata, other: Metadata) -> bool:
    """Return whether stored metadata are the same in every store.

    Python finds 1, 1.0 and True equal, also inside lists and mappings.
    """
    # The texts settle the rare case; most often the values differ, or there are none.
    return one == other and (not one or _sorted_text(one) == _sorted_text(other))


def _sorted_text(metadata: Metadata) -> str:
    return json.dumps(metadata, sort_keys=True)


def _plain(value: MetadataValue, where: str) -> JSONValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InvalidArgumentError(
                    f"{where} holds half a surrogate pair, which is not a character: expected "
                    "text that UTF-8 can write"
                ) from error
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, date):
        return iso_text(value)
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item, f"{where}[{n}]") for n, item in enumerate(value)]
    raise InvalidArgumentError(
        f"{where} is {value!r:.80}: expected strings, booleans, None, finite numbers (integers "
        "of at most 64 bits), dates, times, lists and mappings of these"
    )


def _key(key: str, where: str) -> str:
    if not isinstance(key, str):
        raise InvalidArgumentError(f"{where} has the key {key!r:.80}: expected a string")
    _plain(key, f"a key of {where}")
    return key
