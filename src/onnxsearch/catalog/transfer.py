"""Moving house: pictures from one catalog into another one, without any model."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.errors import InvalidArgumentError, UnknownModelError
from onnxsearch.types import Progress

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.vectors.base import CollectionSpec, Vectors

BATCH = 256
"""Pictures moved at once: a few MB of vectors, and one commit."""
BATCH_BYTES = 4 * 2**20
"""Bytes of records moved at once, where they are large: an eighth of what a commit takes.
More than the largest record has (`onnxsearch.catalog.serialization.MAX_METADATA`)."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What `SearchEngine.copy_to` or `SearchEngine.load_snapshot` did."""

    copied: int
    """Pictures that were stored."""
    unchanged: int
    """Pictures that were there already, with the same record and the same vectors."""
    seconds: float
    """How long it took."""


class ImageSource(Protocol):
    """Where pictures come from."""

    def count(self) -> int:
        """Return how many pictures there are."""
        ...

    def models(self) -> Collection[str]:
        """Return the names of the models that there are vectors of."""
        ...

    def space(self, model: str) -> CollectionSpec:
        """Return what a collection for this model's vectors must hold; its name is free."""
        ...

    def batches(self) -> Iterator[Sequence[NewImage]]:
        """Yield all pictures, at most `BATCH` and `BATCH_BYTES` at a time."""
        ...


@runtime_checkable
class ImageTarget(Protocol):
    """Where images go to: an engine, or what takes images like one."""

    def copy_from(self, source: ImageSource, *, progress: ProgressSink = False) -> TransferReport:
        """Store the images of `source`."""
        ...


class CatalogSource:
    """The pictures of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def is_stored_in(self, target: Catalog) -> bool:
        """Return whether `target` has the same images: its store and namespace are these."""
        here = self._catalog
        return (
            here.metadata is target.metadata
            and here.records.records_table == target.records.records_table
        )

    def count(self) -> int:
        """Return how many images there are."""
        return self._catalog.records.count()

    def models(self) -> set[str]:
        """Return the models that records list, but for those whose collection is lost."""
        listed = {model for record in self._catalog.records.values() for model in record.models}
        collections = self._catalog.collections()
        return {model for model in listed if self._catalog.collection(model) in collections}

    def space(self, model: str) -> CollectionSpec:
        """Return what the collection of this model holds."""
        return self._catalog.vectors.describe(self._catalog.collection(model))

    def batches(self) -> Iterator[list[NewImage]]:
        """Yield all pictures, with the vectors that are there."""
        for batch in batched(self._catalog.records.images(), BATCH):
            yield from record_batches(self._items(batch))

    def _items(self, pictures: Sequence[StoredImage]) -> list[NewImage]:
        vectors = self._catalog.vectors_of(pictures)
        torn = {s.record.id: s for s in pictures if len(vectors[s.key]) < len(s.record.models)}
        now = self._catalog.records.find(torn)
        # One that was replaced since its record was read comes as it is now.
        replaced = [stored for id, stored in now.items() if stored.key != torn[id].key]
        gone = torn.keys() - now.keys() | {stored.record.id for stored in replaced}
        items = [
            NewImage(replace(s.record, models=tuple(vectors[s.key])), vectors[s.key])
            for s in pictures
            if s.record.id not in gone
        ]
        return items + self._items(replaced) if replaced else items


def record_batches(items: Iterable[NewImage]) -> Iterator[list[NewImage]]:
    """Yield items in lists with at most `BATCH_BYTES` of records, one a line."""
    portion: list[NewImage] = []
    room = BATCH_BYTES
    for item in items:
        size = len(encode_record(item.record)) + 1
        if portion and size > room:
            yield portion
            portion, room = [], BATCH_BYTES
        portion.append(item)
        room -= size
    if portion:
        yield portion


def copy(source: ImageSource, target: ImageTarget, progress: ProgressSink) -> TransferReport:
    """Have `target` store the images of `source`.

    Raises:
        InvalidArgumentError: `target` takes no images.
    """
    if not isinstance(target, ImageTarget):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"cannot copy to {target!r:.80}: expected a SearchEngine, as SearchEngine.open() gives"
        )
    return target.copy_from(source, progress=progress)


def transfer(
    source: ImageSource, target: Catalog, searched: Collection[str], progress: ProgressSink
) -> TransferReport:
    """Store the pictures of `source` in `target`, but for those that are there already.

    Each batch is a write of the protocol or two, so a transfer that was stopped,
    however, goes on where it ended.

    Args:
        source: Where the pictures come from.
        target: Where they go.
        searched: Names of the models that `target` is searched with.
        progress: See `onnxsearch._internal.progress.reporter`.

    Raises:
        UnknownModelError: `source` has vectors, but none of a model in `searched`.
        SpaceMismatchError: `target` holds vectors of another space under the name of
            one of the models.
        StoreError: A store failed; what was copied until then stays.
    """
    if isinstance(source, CatalogSource) and source.is_stored_in(target):
        raise InvalidArgumentError(
            "cannot copy an engine to itself: both have the same metadata store and namespace"
        )
    started, report, total = time.monotonic(), reporter(progress), source.count()
    _check_spaces(source, target, searched)
    known: set[str] = set()
    copied = unchanged = 0
    for batch in source.batches():
        for model in {model for item in batch for model in item.vectors} - known:
            target.vectors.ensure_collection(_space(source, target, model))
            known.add(model)
        stored = _store({item.record.id: item for item in batch}, target)
        copied += stored
        unchanged += len(batch) - stored
        report(Progress(copied + unchanged, total, batch[-1].record.id))
    return TransferReport(copied, unchanged, time.monotonic() - started)


def _check_spaces(source: ImageSource, target: Catalog, searched: Collection[str]) -> None:
    """Raise before anything is written, if vectors do not fit or nobody would find them."""
    models = sorted(source.models())
    if models and not set(models) & set(searched):
        raise UnknownModelError(
            f"the pictures have vectors of {', '.join(models)}, and the engine that they go to "
            f"searches with {', '.join(searched)}, which would find none of them: give that "
            "engine the embedder of one of those models too, or let it index the files"
        )
    existing = target.collections()
    for model in models:
        if target.collection(model) in existing:
            target.vectors.ensure_collection(_space(source, target, model))


def _space(source: ImageSource, target: Catalog, model: str) -> CollectionSpec:
    return replace(source.space(model), name=target.collection(model))


def _store(items: Mapping[str, NewImage], target: Catalog) -> int:
    """Store pictures by id; return how many were not there as they are."""
    there = target.records.find(items)
    vectors = target.vectors_of(there.values())
    new: list[NewImage] = []
    same: list[NewImage] = []
    for id, item in items.items():
        stored = there.get(id)
        if stored is None or not _same_picture(item, stored, vectors[stored.key]):
            new.append(item)
        elif not _contained(item, stored, vectors[stored.key]):
            same.append(replace(item, amends=stored.key))
    target.put(new)
    target.amend(same)
    return len(new) + len(same)


def _same_picture(item: NewImage, stored: StoredImage, vectors: Mapping[str, Vectors]) -> bool:
    """Whether the vectors of both can stand side by side.

    Contents tell. A picture that was no file has none, so equal vectors must do.
    """
    if item.record.content is None and stored.record.content is None:
        common = item.vectors.keys() & vectors.keys()
        return bool(common) and all(np.array_equal(item.vectors[m], vectors[m]) for m in common)
    return item.record.content == stored.record.content


def _contained(item: NewImage, stored: StoredImage, vectors: Mapping[str, Vectors]) -> bool:
    return (
        replace(item.record, models=stored.record.models) == stored.record
        and set(stored.record.models) == vectors.keys() >= item.vectors.keys()
        and all(np.array_equal(vector, vectors[m]) for m, vector in item.vectors.items())
    )
