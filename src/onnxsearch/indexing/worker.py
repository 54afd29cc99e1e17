"""A worker of the bulk pipeline: files in, pictures with their vectors out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.errors import (
    BrokenImageError,
    EmbeddingError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from onnxsearch.images.reading import ReadPolicy, open_image
from onnxsearch.types import Outcome, Record, Status

if TYPE_CHECKING:
    from PIL import Image

    from onnxsearch.catalog.records import StoredImage
    from onnxsearch.embedders.base import Embedder, Tensor
    from onnxsearch.indexing.change_detection import Candidate
    from onnxsearch.vectors.base import Vectors

_STATUS: Mapping[type[ImageError], Status] = {
    ImageNotFoundError: Status.MISSING,
    ImageTooLargeError: Status.TOO_LARGE,
    UnsupportedImageError: Status.UNSUPPORTED,
    BrokenImageError: Status.BROKEN,
}


@dataclass(slots=True)
class PreparedImage:
    """A picture on its way into the stores."""

    record: Record
    status: Status = Status.INDEXED
    """What to tell of it once it is stored."""
    amends: str | None = None
    """The key of the unchanged picture that this adds to, if there is one."""
    vectors: dict[str, Vectors] = field(default_factory=dict[str, "Vectors"])
    """Vectors by model, as they become known."""
    tensors: dict[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    """What the models are fed to get the vectors that are still unknown."""


@dataclass(frozen=True, slots=True)
class IndexingWorker:
    """Turns batches of candidates into pictures. Called from many threads."""

    catalog: Catalog
    embedders: Sequence[Embedder]
    reading: ReadPolicy

    def __call__(self, batch: Sequence[Outcome | Candidate]) -> list[Outcome | PreparedImage]:
        """Return a result for each entry, in order; outcomes pass through."""
        results = [entry if isinstance(entry, Outcome) else self._open(entry) for entry in batch]
        pictures = [result for result in results if isinstance(result, PreparedImage)]
        failed: dict[str, EmbeddingError] = {}
        for embedder in self.embedders:
            failed |= _embed(embedder, [p for p in pictures if embedder.name in p.tensors])
        return [
            Outcome(result.record.id, Status.BROKEN, error=str(failed[result.record.id]))
            if isinstance(result, PreparedImage) and result.record.id in failed
            else result
            for result in results
        ]

    def _open(self, candidate: Candidate) -> Outcome | PreparedImage:
        path = candidate.uri
        try:
            return self._read(candidate)
        except ImageError as error:
            return Outcome(path, _STATUS[type(error)], error=str(error))
        except FileNotFoundError:
            return Outcome(path, Status.MISSING, error=f"there is no file {path!r}")
        except OSError as error:
            return Outcome(path, Status.BROKEN, error=f"file {path!r} cannot be read: {error}")

    def _read(self, candidate: Candidate) -> Outcome | PreparedImage:
        path, stored = candidate.uri, candidate.stored
        if (
            stored is not None
            and stored.record.size == candidate.size
            and stored.record.content == _content(path)
        ):
            return self._complete(candidate, stored)
        # Decoding comes before hashing: most large files in a folder are no pictures,
        # and their first bytes tell.
        image = open_image(path, self.reading)
        content = _content(path)
        twin = self.catalog.records.with_content(content)
        if twin and twin.id != path and _still_holds(twin):
            return Outcome(path, Status.DUPLICATE, id=twin.id)
        record = Record(
            id=path,
            uri=path,
            metadata=candidate.metadata,
            models=tuple(embedder.name for embedder in self.embedders),
            content=content,
            size=candidate.size,
            modified_ns=candidate.modified_ns,
        )
        return PreparedImage(record, tensors=_prepare(self.embedders, image))

    def _complete(self, candidate: Candidate, stored: StoredImage) -> PreparedImage:
        """Bring what is stored of an unchanged picture up to date."""
        before = stored.record
        picture = PreparedImage(
            record=replace(
                before,
                metadata=candidate.metadata,
                modified_ns=candidate.modified_ns,
                models=tuple(embedder.name for embedder in self.embedders),
            ),
            status=Status.UNCHANGED,
            amends=stored.key,
        )
        missing = [e for e in self.embedders if e.name not in before.models]
        if missing:
            image = open_image(candidate.uri, self.reading)
            picture.tensors = _prepare(missing, image)
            picture.status = Status.INDEXED
        if candidate.metadata != before.metadata:
            picture.status = Status.INDEXED
        return picture


@dataclass(frozen=True, slots=True)
class BackfillWorker(IndexingWorker):
    """Gives stored pictures the vectors of further models, and leaves all else as it is."""

    def _read(self, candidate: Candidate) -> Outcome | PreparedImage:
        path, stored = candidate.uri, candidate.stored
        if stored is None:
            return Outcome(path, Status.MISSING, error=f"{path!r} is not stored any more")
        record = stored.record
        if record.uri is None:
            return Outcome(
                record.id,
                Status.MISSING,
                error=f"picture {record.id!r} did not come from a file: add it again",
            )
        if record.content is not None and _content(record.uri) != record.content:
            return Outcome(
                record.id,
                Status.MISSING,
                error=f"file {record.uri!r} no longer shows what was stored: index it again",
            )
        image = open_image(record.uri, self.reading)
        return PreparedImage(record, amends=stored.key, tensors=_prepare(self.embedders, image))


def _prepare(embedders: Sequence[Embedder], image: Image.Image) -> dict[str, Tensor]:
    return {embedder.name: embedder.prepare(image) for embedder in embedders}


def _embed(embedder: Embedder, pictures: Sequence[PreparedImage]) -> dict[str, EmbeddingError]:
    """Give each picture its vector of this model; return by id what failed."""
    if not pictures:
        return {}
    try:
        vectors = embedder.embed_tensors([p.tensors[embedder.name] for p in pictures])
    except EmbeddingError as error:
        if len(pictures) == 1:
            return {pictures[0].record.id: error}
        # One by one, so that a single picture does not take the others with it.
        return {id: e for p in pictures for id, e in _embed(embedder, [p]).items()}
    for picture, vector in zip(pictures, vectors, strict=True):
        del picture.tensors[embedder.name]
        picture.vectors[embedder.name] = vector
    return {}


def _content(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _still_holds(twin: Record) -> bool:
    """Return whether a stored picture is still what its file shows.

    A file that was moved has the bytes of its own former self, which prune will
    remove: it is no duplicate.
    """
    if twin.uri is None:
        return True
    try:
        status = os.stat(twin.uri)
    except (OSError, ValueError):
        return False
    return (status.st_size, status.st_mtime_ns) == (twin.size, twin.modified_ns)
