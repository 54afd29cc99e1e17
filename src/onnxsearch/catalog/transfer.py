"""Copying images from one catalog into another, without any model."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.augmented_spaces import is_augmented
from onnxsearch.catalog.batching import BATCH, record_batches
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.catalog.copies import Copy
from onnxsearch.catalog.records import same_content
from onnxsearch.catalog.relocation import set_root
from onnxsearch.catalog.retries import contended
from onnxsearch.catalog.root import NO_ROOT, Root
from onnxsearch.catalog.serialization import encode_record
from onnxsearch.errors import InvalidArgumentError, UnknownModelError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.types import Progress, Record

if TYPE_CHECKING:
    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.vectors.base import CollectionSpec, Vectors

_PATHS_BYTES = 2**20
"""Bytes of JSON that the paths of one image may take: a batch has room for them."""
_LOOKS = 8
"""How often an image that is replaced while it is copied is looked up again."""


@dataclass(frozen=True, slots=True)
class TransferReport:
    """What `SearchEngine.copy_to` or `SearchEngine.load_snapshot` did."""

    copied: int
    """Images that were stored."""
    unchanged: int
    """Images that were stored already, with the same record and the same vectors."""
    seconds: float
    """How long the copy took."""


class ImageSource(Protocol):
    """A source of images to copy."""

    def count(self) -> int:
        """Return the number of images."""
        ...

    def models(self) -> Collection[str]:
        """Return the names of the models whose vectors the source has."""
        ...

    def space(self, model: str) -> CollectionSpec:
        """Return the specification of a collection for this model; its name is arbitrary."""
        ...

    def descriptions(self) -> Sequence[ModelDescription]:
        """Return what is known of how to make the models again; see `Embedder.describe`."""
        ...

    def root(self) -> str | None:
        """Return the folder whose files move together, by absolute path; None if there is none."""
        ...

    def batches(self) -> Iterator[Sequence[NewImage]]:
        """Yield all images, at most `BATCH` and `BATCH_BYTES` at a time."""
        ...


@runtime_checkable
class ImageTarget(Protocol):
    """A receiver of images: an engine, or what takes images like one."""

    def copy_from(self, source: ImageSource, *, progress: ProgressSink = False) -> TransferReport:
        """Store the images of `source`."""
        ...


class CatalogSource:
    """The images of a catalog, or those whose metadata match a filter."""

    def __init__(self, catalog: Catalog, filter: Filter | None = None) -> None:
        if filter is not None:
            check_filter(filter)
        self._catalog = catalog
        self._filter = filter

    def is_stored_in(self, target: Catalog) -> bool:
        """Return whether `target` has the same images: its store and namespace are these."""
        here = self._catalog
        return (
            here.metadata is target.metadata
            and here.records.records_table == target.records.records_table
        )

    def count(self) -> int:
        """Return the number of images."""
        if self._filter is None:
            return self._catalog.records.count()
        return sum(1 for _ in self._images())

    def models(self) -> set[str]:
        """Return the models that records list and that have a collection."""
        listed = {model for stored in self._images() for model in stored.record.models}
        collections = self._catalog.collections()
        return {model for model in listed if self._catalog.collection(model) in collections}

    def space(self, model: str) -> CollectionSpec:
        """Return the specification of the model's collection."""
        return self._catalog.vectors.describe(self._catalog.collection(model))

    def descriptions(self) -> list[ModelDescription]:
        """Return what the manifest says."""
        return self._catalog.manifest.models()

    def root(self) -> str | None:
        """Return the root of the catalog."""
        return self._catalog.records.root.read().path

    def batches(self) -> Iterator[list[NewImage]]:
        """Yield all images, with the vectors that are stored."""
        for batch in batched(self._images(), BATCH):
            items = self._items(batch)
            records = self._catalog.records.with_paths([item.record for item in items])
            yield from record_batches(
                replace(item, record=_with_short_paths(record))
                for item, record in zip(items, records, strict=True)
            )

    def _images(self) -> Iterator[StoredImage]:
        """Yield the images, without augmented spaces: those depend on all images of an album."""
        for stored in self._catalog.records.images():
            if self._filter is None or self._filter.matches(stored.record.metadata):
                yield _without_spaces(stored)

    def _items(self, images: Sequence[StoredImage]) -> list[NewImage]:
        whole: list[NewImage] = []
        for _ in range(_LOOKS):
            vectors = self._catalog.vectors_of(images)
            items = {s.key: _item(s, vectors[s.key]) for s in images}
            torn = {s.record.id: s for s in images if items[s.key].record.models != s.record.models}
            now = self._catalog.records.find(torn)
            whole += [
                items[s.key]
                for s in images
                # One whose key is still current has lost vectors; it comes with the others.
                if s.record.id not in torn or (s.record.id in now and now[s.record.id].key == s.key)
            ]
            # An image that was replaced since its record was read comes as it is now.
            images = [_without_spaces(s) for id, s in now.items() if s.key != torn[id].key]
            if not images:
                return whole
        raise contended()


def _without_spaces(stored: StoredImage) -> StoredImage:
    models = tuple(model for model in stored.record.models if not is_augmented(model))
    return replace(stored, record=replace(stored.record, models=models))


def _item(stored: StoredImage, vectors: Mapping[str, Vectors]) -> NewImage:
    """Return a stored image with the vectors that were found of it."""
    models = tuple(model for model in stored.record.models if model in vectors)
    return NewImage(replace(stored.record, models=models), vectors)


def _with_short_paths(record: Record) -> Record:
    """Return a record that a batch has room for; the next `index` finds other copies again."""
    ends = accumulate(len(json.dumps(path)) + 1 for path in record.paths)
    number = sum(end <= _PATHS_BYTES for end in ends)
    return replace(record, paths=record.paths[:number]) if number < len(record.paths) else record


def copy(source: ImageSource, target: ImageTarget, progress: ProgressSink) -> TransferReport:
    """Have `target` store the images of `source`.

    Raises:
        InvalidArgumentError: `target` takes no images.
    """
    if not isinstance(target, ImageTarget):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(
            f"other {target!r:.80}: expected a SearchEngine, as SearchEngine.open() gives"
        )
    reporter(progress)  # refuses what is none, before anything is read
    return target.copy_from(source, progress=progress)


def transfer(
    source: ImageSource, target: Catalog, searched: Collection[str], progress: ProgressSink
) -> TransferReport:
    """Store the images of `source` in `target`; skip those that `target` has already.

    Each batch is one or two writes of the protocol, so a transfer that was stopped
    continues where it ended.

    Args:
        source: The images to copy.
        target: The catalog that receives them.
        searched: Names of the models that `target` is searched with.
        progress: See `onnxsearch._internal.progress.reporter`.

    Raises:
        UnknownModelError: `source` has vectors, but none of a model in `searched`.
        SpaceMismatchError: `target` holds vectors of another space under the name of
            one of the models.
        StoreError: A store failed; images that were copied before stay.
    """
    if isinstance(source, CatalogSource) and source.is_stored_in(target):
        raise InvalidArgumentError(
            "cannot copy an engine to itself: both have the same metadata store and namespace"
        )
    started, report, total = time.monotonic(), reporter(progress), source.count()
    _check_spaces(source, target, searched)
    root = Root(source.root())
    if root.path is not None and os.path.isabs(root.path) and target.records.root.read() == NO_ROOT:
        set_root(target, root.path)
    known: set[str] = set()
    copied = unchanged = 0
    for batch in source.batches():
        for model in {model for item in batch for model in item.vectors} - known:
            target.ensure_collection(model, source.space(model))
            known.add(model)
        stored = _store({item.record.id: item for item in batch}, root, target)
        copied += stored
        unchanged += len(batch) - stored
        report(Progress(copied + unchanged, total, batch[-1].record.id))
    return TransferReport(copied, unchanged, time.monotonic() - started)


def _check_spaces(source: ImageSource, target: Catalog, searched: Collection[str]) -> None:
    """Raise before anything is written if vectors do not fit or no search would find them."""
    models = sorted(source.models())
    if models and not set(models) & set(searched):
        raise UnknownModelError(
            f"the images have vectors of {', '.join(models)}, and the engine that receives them "
            f"searches with {', '.join(searched)}, which would find none of them: give that "
            "engine the embedder of one of those models too, or let it index the files"
        )
    existing = target.collections()
    for model in models:
        if target.collection(model) in existing:
            target.ensure_collection(model, source.space(model))


def _store(images: Mapping[str, NewImage], root: Root, target: Catalog) -> int:
    """Store images by id; return how many of them were new or different."""
    existing, goal = target.records.find(images), target.records.root.read()
    items = {id: _placed(item, root, goal, existing.get(id)) for id, item in images.items()}
    vectors = target.vectors_of(existing.values())
    new: list[NewImage] = []
    same: list[NewImage] = []
    for id, item in items.items():
        stored = existing.get(id)
        if stored is None or not _same_image(item, stored, vectors[stored.key]):
            new.append(item)
        elif not _contained(item, stored, vectors[stored.key]):
            # The record that comes counts, also if others change the image meanwhile.
            known = same_content(item.record, stored.record)
            same.append(replace(item, amends=None if known else stored.key))
    target.put(new)
    target.amend(same)
    _remember_copies(items.values(), target)
    return len(new) + len(same)


def _placed(item: NewImage, root: Root, goal: Root, stored: StoredImage | None) -> NewImage:
    """Return an image with the paths below the target's root at which its files are."""
    record = item.record
    copies = [path for path in record.paths if path != record.uri]
    path = _below(record.uri or "", root, goal)
    if path is not None and (os.path.lexists(path) or (stored and stored.record.uri == path)):
        record = replace(record, uri=path)
    places = ((path, _below(path, root, goal)) for path in copies)
    paths = tuple(goal if goal and os.path.lexists(goal) else path for path, goal in places)
    return replace(item, record=replace(record, paths=paths))


def _below(path: str, root: Root, goal: Root) -> str | None:
    """Return the path in `goal` of a file in `root`; None for one elsewhere."""
    relative = root.below(path)
    return None if relative is None else goal.absolute(relative)


def _remember_copies(items: Collection[NewImage], target: Catalog) -> None:
    """Note the exact copies of images, unless something else is stored or noted there."""
    copies = {
        # Its time is not known here, so that the next `index` reads the file once.
        path: Copy(path, record.content, record.size or 0, modified_ns=0)
        for record in (item.record for item in items)
        if record.content is not None
        for path in record.paths
        if path != record.uri
    }
    if copies:
        root = target.records.root.read()
        ids = {path: root.id_of(path) for path in copies}
        stored = target.records.find(ids.values())
        known = target.records.copies.find(copies)
        target.records.copies.remember(
            copy for path, copy in copies.items() if ids[path] not in stored and path not in known
        )


def _same_image(item: NewImage, stored: StoredImage, vectors: Mapping[str, Vectors]) -> bool:
    """Return whether the vectors of both can stand side by side.

    Contents decide. Images that did not come from bytes have none, so equal vectors decide.
    """
    same = same_content(item.record, stored.record)
    if same is not None:
        return same
    common = item.vectors.keys() & vectors.keys()
    return bool(common) and all(np.array_equal(item.vectors[m], vectors[m]) for m in common)


def _contained(item: NewImage, stored: StoredImage, vectors: Mapping[str, Vectors]) -> bool:
    return (
        # As JSON, because Python finds 1 and True equal.
        encode_record(replace(item.record, models=stored.record.models, paths=()), NO_ROOT)
        == encode_record(stored.record, NO_ROOT)
        and set(stored.record.models) == vectors.keys() >= item.vectors.keys()
        and all(np.array_equal(vector, vectors[m]) for m, vector in item.vectors.items())
    )
