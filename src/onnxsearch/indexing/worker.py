"""Workers of the bulk pipeline: files in, images with their vectors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.records import Copy, StoredImage
from onnxsearch.errors import EmbeddingError, ImageError, ProfileError
from onnxsearch.images.image_file import ImageFile, read_image_file
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.indexing.change_detection import Candidate
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.twins import still_shows
from onnxsearch.types import Outcome, Record, Status

if TYPE_CHECKING:
    from PIL import Image

    from onnxsearch.embedders.base import Embedder, Tensor
    from onnxsearch.vectors.base import Vectors


@dataclass(slots=True)
class PreparedImage:
    """An image on its way into the stores."""

    name: str
    """What its outcome names: the path of the file, or in a backfill the id."""
    record: Record
    status: Status = Status.INDEXED
    """The outcome once the image is stored."""
    stored: StoredImage | None = None
    """The image that its id held."""
    amends: bool = False
    """Whether the image is the stored one, which gets further vectors or another record."""
    former: StoredImage | None = None
    """The same image under a path that no longer shows it."""
    vectors: dict[str, Vectors] = field(default_factory=dict[str, "Vectors"])
    """Vectors by model, as they become known."""
    tensors: dict[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    """What the models are fed to compute the vectors that are still unknown."""

    @property
    def keeps_its_place(self) -> bool:
        """Whether it is stored beside a twin: metadata of its own are not given up."""
        return self.stored is not None and bool(self.record.metadata)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file with the same bytes as a stored image."""

    copy: Copy
    twin: StoredImage
    stored: StoredImage | None
    """What the file's path held: an image that its file no longer shows."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that no longer shows what is stored under its path."""

    uri: str
    content: str
    """Hash of its bytes now."""


Result: TypeAlias = "Outcome | PreparedImage | Duplicate | ChangedFile"


class Settle(Enum):
    """Which files that changed are settled; the others are only reported.

    What the path of such a file holds may have to be moved to where the image is now.
    """

    NONE = "none"
    MOVED = "moved"
    """Those that show an image which left its place."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class IndexingWorker:
    """Turns batches of candidates into images. Several threads call it at once.

    Args:
        catalog: Where the images are stored.
        embedders: Compute the vectors.
        reading: How files are opened.
        named: Whether the caller named the files, instead of a folder.
        settle: Which files that changed are settled.
    """

    catalog: Catalog
    embedders: Sequence[Embedder]
    reading: ReadPolicy
    named: bool = True
    settle: Settle = Settle.ALL

    def __call__(self, batch: Sequence[Outcome | Candidate]) -> list[Result]:
        """Return a result for each entry, in order; outcomes pass through."""
        results = [entry if isinstance(entry, Outcome) else self._open(entry) for entry in batch]
        images = [result for result in results if isinstance(result, PreparedImage)]
        failed: dict[str, EmbeddingError] = {}
        for embedder in self.embedders:
            failed |= _embed(embedder, [p for p in images if embedder.name in p.tensors])
        return [
            failure(result.name, failed[result.record.id])
            if isinstance(result, PreparedImage) and result.record.id in failed
            else result
            for result in results
        ]

    def _open(self, candidate: Candidate) -> Result:
        try:
            return self._read(candidate)
        # A profile may refuse what the policy makes of an image, such as a draft.
        except (ImageError, ProfileError) as error:
            return failure(candidate.uri, error, named=self.named)

    def _read(self, candidate: Candidate) -> Result:
        stored = candidate.stored
        file = read_image_file(candidate.uri, self.reading)
        content = file.content
        if stored is not None and stored.record.content == content:
            return self._complete(candidate, stored, file)
        if stored is not None and self.settle is Settle.NONE:
            return ChangedFile(file.path, content)
        others = [s for s in self.catalog.records.with_content(content) if s is not stored]
        # Of several that left their place: a file that is moved keeps its time, and metadata
        # are worth more than none.
        likely = sorted(
            others,
            key=lambda s: (s.record.modified_ns != file.modified_ns, not s.record.metadata),
        )
        for other in likely:
            if other.record.uri != file.path and not still_shows(other.record):
                return self._move(candidate, other, file)
        if stored is not None and self.settle is Settle.MOVED:
            return ChangedFile(file.path, content)
        image = PreparedImage(file.path, self._record(file, candidate, stored), stored=stored)
        if others and not image.keeps_its_place:
            copy = Copy(file.path, content, file.size, file.modified_ns)
            return Duplicate(copy, others[0], stored)
        image.tensors = _prepare(self.embedders, file.decode(self.reading))
        return image

    def _record(self, file: ImageFile, candidate: Candidate, before: StoredImage | None) -> Record:
        """Return the record of a file; its metadata are those of `before` if none are given."""
        kept = before.record.metadata if before is not None else {}
        return Record(
            id=candidate.id,
            uri=file.path,
            metadata=kept if candidate.given is None else candidate.given,
            models=tuple(embedder.name for embedder in self.embedders),
            content=file.content,
            size=file.size,
            modified_ns=file.modified_ns,
        )

    def _complete(
        self, candidate: Candidate, stored: StoredImage, file: ImageFile
    ) -> PreparedImage:
        """Bring what is stored of an unchanged image up to date."""
        before = stored.record
        image = PreparedImage(
            file.path,
            record=replace(self._record(file, candidate, stored), id=before.id),
            status=Status.UNCHANGED,
            stored=stored,
            amends=True,
        )
        self._fill_in(image, before, file)
        if image.tensors or image.record.metadata != before.metadata:
            image.status = Status.INDEXED
        return image

    def _move(self, candidate: Candidate, former: StoredImage, file: ImageFile) -> PreparedImage:
        """Give a stored image the path at which its file is now."""
        before = former.record
        record, root = self._record(file, candidate, former), self.catalog.records.root.read()
        image = PreparedImage(
            file.path,
            # An id that the caller chose stays.
            record=record if root.gave_id(before) else replace(record, id=before.id),
            status=Status.MOVED,
            stored=candidate.stored,
            former=former,
        )
        self._fill_in(image, before, file)
        return image

    def _fill_in(self, image: PreparedImage, before: Record, file: ImageFile) -> None:
        """Prepare the image for the models whose vectors it lacks."""
        missing = [e for e in self.embedders if e.name not in before.models]
        if missing:
            image.tensors = _prepare(missing, file.decode(self.reading))


@dataclass(frozen=True, slots=True)
class BackfillWorker(IndexingWorker):
    """Gives stored images the vectors of further models, and leaves all else as it is."""

    def _read(self, candidate: Candidate) -> Result:
        stored = candidate.stored
        if stored is None:
            return _missing(candidate.uri, f"{candidate.uri!r} is not stored any more")
        record = stored.record
        if record.uri is None:
            return _missing(
                record.id, f"image {record.id!r} did not come from a file: add it again"
            )
        file = read_image_file(record.uri, self.reading)
        if record.content != file.content:
            return _missing(
                record.id, f"file {record.uri!r} no longer shows what was stored: index it again"
            )
        tensors = _prepare(self.embedders, file.decode(self.reading))
        return PreparedImage(record.id, record, stored=stored, amends=True, tensors=tensors)


def _missing(id: str, error: str) -> Outcome:
    return Outcome(id, Status.MISSING, error=error)


def _prepare(embedders: Sequence[Embedder], image: Image.Image) -> dict[str, Tensor]:
    return {embedder.name: embedder.prepare(image) for embedder in embedders}


def _embed(embedder: Embedder, images: Sequence[PreparedImage]) -> Mapping[str, EmbeddingError]:
    """Give each image its vector of this model; return by id what failed."""
    if not images:
        return {}
    try:
        vectors = embedder.embed_tensors([image.tensors[embedder.name] for image in images])
    except EmbeddingError as error:
        if len(images) == 1:
            return {images[0].record.id: error}
        # One by one, so that a single image does not take the others with it.
        return {id: e for image in images for id, e in _embed(embedder, [image]).items()}
    for image, vector in zip(images, vectors, strict=True):
        del image.tensors[embedder.name]
        image.vectors[embedder.name] = vector
    return {}
