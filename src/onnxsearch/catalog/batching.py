"""How many images and how many bytes of records a write takes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.root import NO_ROOT
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.types import Record

COMMIT = 64
"""Images stored at once when they were embedded, or removed at once. A commit waits for the
disk a few times; with 64 images that is below 1 % of the time it takes to embed them, and a
crash costs little work."""
BATCH = 256
"""Images copied or looked up at once: a few MB of vectors, and one round trip."""
MOVED = 1024
"""Images moved at once: their commits wait for the disk as often as those of fewer, and take most
of the time."""
BATCH_BYTES = 4 * 2**20
"""Bytes of records written at once, where they are large: an eighth of what a commit takes,
and more than the largest record has (`onnxsearch.catalog.serialization.MAX_METADATA`)."""


_NONE: Mapping[str, Record] = MappingProxyType({})


def record_batches(
    items: Iterable[NewImage], displaced: Mapping[str, Record] = _NONE
) -> Iterator[list[NewImage]]:
    """Yield items in lists with at most `BATCH_BYTES` of records, each counted as a line.

    Args:
        items: Images to store.
        displaced: Records that are written to another place with an item, by its id.
    """
    batch: list[NewImage] = []
    room = BATCH_BYTES
    for item in items:
        size = _line(item.record)
        if (other := displaced.get(item.record.id)) is not None:
            size += _line(other)
        if batch and size > room:
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append(item)
        room -= size
    if batch:
        yield batch


def _line(record: Record) -> int:
    return len(encode_record(record, NO_ROOT)) + 1
