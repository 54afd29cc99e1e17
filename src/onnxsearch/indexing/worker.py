"""Workers of the bulk pipeline: entries in, images with their vectors out."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.metadata_json import same_metadata
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.copies import Copy
from onnxsearch.catalog.records import StoredImage
from onnxsearch.catalog.root import NO_ROOT, Root
from onnxsearch.embedders.opening import opened_for
from onnxsearch.embedders.regions import ModelInput, embed_inputs, model_input, spaces_of
from onnxsearch.errors import EmbeddingError, ImageError, InvalidArgumentError, ProfileError
from onnxsearch.images.image_file import ImageFile
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.indexing.change_detection import Candidate
from onnxsearch.indexing.entries import Entry, FileEntry
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.file_metadata import NO_METADATA, FileMetadata
from onnxsearch.indexing.twins import still_shows
from onnxsearch.types import Outcome, Record, Status

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.images.in_memory import ReadImage
    from onnxsearch.vectors.base import Vectors


_HELD = 2**24
"""Bytes of images that were read and wait for one look at what is stored, about five
photographs. Small images are looked up by the batch, at no cost in memory."""


@dataclass(slots=True)
class PreparedImage:
    """An image on its way into the stores."""

    name: str
    """What its outcome names, such as the path of the file."""
    record: Record
    file: FileEntry | None = None
    """The file, which can be looked at again. Other images are not kept until the commit."""
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
    tensors: dict[str, ModelInput] = field(default_factory=dict[str, "ModelInput"])
    """What the models are fed to compute the vectors that are still unknown."""
    keeps_its_place: bool = False
    """Whether it is stored beside a twin."""
    keeps_metadata: bool = False
    """Whether it has the metadata that its id held, since the caller gave none."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file or item with the same bytes as a stored image."""

    entry: Entry
    content: str
    """Hash of its bytes."""
    twin: StoredImage
    copy: Copy | None = None
    """For a file: what to remember of it."""
    stored: StoredImage | None = None
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
class _ReadCandidate:
    """A candidate, and its image as it was read."""

    candidate: Candidate
    read: ReadImage

    @property
    def is_stored(self) -> bool:
        """Whether its id holds an image of the same bytes."""
        stored = self.candidate.stored
        return stored is not None and stored.record.content == self.read.content is not None


@dataclass(frozen=True, slots=True)
class _Twins:
    """The stored images with the bytes of some that were read, as one look found them."""

    by_content: Mapping[str, Sequence[StoredImage]]
    root: Root
    """The root of the index, read after them."""

    def of(self, content: str | None) -> Sequence[StoredImage]:
        """Return the stored images with these bytes."""
        return () if content is None else self.by_content[content]

    def has_old_id(self, image: Record) -> bool:
        """Return whether the id is that of a file stored before its index had a root.

        A process that did not know the root yet may have stored it since.
        """
        return self.root.gave_id(image) and image.id != self.root.id_of(str(image.uri))


@dataclass(frozen=True, slots=True)
class IndexingWorker:
    """Turns batches of candidates into images. Several threads call it at once.

    Args:
        catalog: Where the images are stored.
        embedders: Compute the vectors.
        reading: How files are opened.
        batch_size: Images that are embedded at once, at most.
        metadata: What the caller says of the images.
        named: Whether the caller named the images, instead of a folder.
        settle: Which files that changed are settled.
    """

    catalog: Catalog
    embedders: Sequence[Embedder]
    reading: ReadPolicy
    batch_size: int
    metadata: FileMetadata = NO_METADATA
    named: bool = True
    settle: Settle = Settle.ALL
    spaces: Mapping[str, Sequence[str]] = field(init=False)
    """The collections that each embedder fills, by its name, found once: it takes as long as
    writing the record of an image."""

    def __post_init__(self) -> None:
        spaces = {embedder.name: spaces_of(embedder) for embedder in self.embedders}
        object.__setattr__(self, "spaces", spaces)

    def __call__(self, batch: Sequence[Outcome | Candidate]) -> list[Result]:
        """Return a result for each entry, in order; outcomes pass through."""
        results = [result for group in self._groups(batch) for result in self._results(group)]
        images = [result for result in results if isinstance(result, PreparedImage)]
        failed: dict[str, EmbeddingError] = {}
        for embedder in self.embedders:
            for some in batched((p for p in images if embedder.name in p.tensors), self.batch_size):
                failed |= _embed(embedder, some)
        return [
            failure(result.name, failed[result.record.id])
            if isinstance(result, PreparedImage) and result.record.id in failed
            else result
            for result in results
        ]

    def _groups(
        self, batch: Iterable[Outcome | Candidate]
    ) -> Iterator[list[Outcome | _ReadCandidate]]:
        """Read the images of a batch; yield as many as may be held in memory, in order."""
        group: list[Outcome | _ReadCandidate] = []
        held = 0
        for entry in batch:
            result = entry if isinstance(entry, Outcome) else self._open(entry)
            group.append(result)
            held += 0 if isinstance(result, Outcome) else result.read.size or 0
            if held >= _HELD:
                yield group
                group, held = [], 0
        yield group

    def _open(self, candidate: Candidate) -> Outcome | _ReadCandidate:
        try:
            return _ReadCandidate(candidate, candidate.entry.read(self.reading))
        except (ImageError, InvalidArgumentError) as error:
            return failure(candidate.entry.name, error, named=self.named)

    def _results(self, group: Sequence[Outcome | _ReadCandidate]) -> Iterator[Result]:
        """Yield the result of each; what is stored of all is looked up at once."""
        twins = self._twins(one for one in group if not isinstance(one, Outcome))
        for one in group:
            yield one if isinstance(one, Outcome) else self._checked(one, twins)

    def _twins(self, group: Iterable[_ReadCandidate]) -> _Twins:
        contents = {one.read.content for one in group if not one.is_stored}
        found = self.catalog.records.with_contents(each for each in contents if each is not None)
        # Only what is known of a stored image depends on the root.
        root = self.catalog.records.root.read() if any(found.values()) else NO_ROOT
        return _Twins(found, root)

    def _checked(self, one: _ReadCandidate, twins: _Twins) -> Result:
        try:
            return self._result(one, twins)
        # A profile may refuse what the policy makes of an image, such as a draft.
        except (ImageError, ProfileError, InvalidArgumentError) as error:
            return failure(one.candidate.entry.name, error, named=self.named)

    def _result(self, one: _ReadCandidate, twins: _Twins) -> Result:
        candidate, read = one.candidate, one.read
        entry, stored = candidate.entry, candidate.stored
        if stored is not None and one.is_stored:
            return self._complete(candidate, stored, read)
        if isinstance(read, ImageFile) and isinstance(entry, FileEntry) and not entry.has_own_id:
            return self._file(candidate, entry, read, twins)
        return self._item(candidate, read, twins.of(read.content))

    def _file(
        self, candidate: Candidate, entry: FileEntry, file: ImageFile, twins: _Twins
    ) -> Result:
        """Return the result of a file that is new or shows another image than before."""
        stored, content = candidate.stored, file.content
        if stored is not None and self.settle is Settle.NONE:
            return ChangedFile(file.path, content)
        others = [s for s in twins.of(content) if s is not stored]
        # Of several that left their place: a file that is moved keeps its time, and metadata
        # are worth more than none.
        likely = sorted(
            others,
            key=lambda s: (s.record.modified_ns != file.modified_ns, not s.record.metadata),
        )
        for other in likely:
            if other.record.uri == file.path:
                left = twins.has_old_id(other.record)
            else:
                left = not still_shows(other.record)
            if left:
                return self._move(candidate, other, file, twins.root)
        if stored is not None and self.settle is Settle.MOVED:
            return ChangedFile(file.path, content)
        image = self._new(candidate, file, stored)
        # Metadata of its own are not given up.
        image.keeps_its_place = stored is not None and bool(image.record.metadata)
        if others and not image.keeps_its_place:
            copy = Copy(file.path, content, file.size, file.modified_ns)
            return Duplicate(entry, content, others[0], copy, stored)
        image.tensors = self._tensors((), file)
        return image

    def _item(self, candidate: Candidate, read: ReadImage, twins: Sequence[StoredImage]) -> Result:
        """Return the result of an item that is new or shows another image than before."""
        entry, content = candidate.entry, read.content
        # An id that is stored already, or that the caller chose, is searched for.
        keeps_its_place = candidate.stored is not None or entry.has_own_id
        if content is not None and twins and not keeps_its_place:
            return Duplicate(entry, content, twins[0])
        vectors = self._vectors_of(twins)
        tensors = self._tensors(vectors, read)
        # The caller is asked when the image is known to be good.
        image = self._new(self._asked(candidate, read), read, candidate.stored)
        image.keeps_its_place, image.vectors, image.tensors = keeps_its_place, vectors, tensors
        return image

    def _vectors_of(self, twins: Sequence[StoredImage]) -> dict[str, Vectors]:
        """Return the vectors by model that images of the same bytes have."""
        names = set(chain.from_iterable(self.spaces.values()))
        stored = self.catalog.vectors_of(twins[:1]).values()
        return {name: row for rows in stored for name, row in rows.items() if name in names}

    def _asked(self, candidate: Candidate, read: ReadImage) -> Candidate:
        """Return a candidate with what the caller says of it; of files others ask."""
        if isinstance(candidate.entry, FileEntry):
            return candidate
        return replace(candidate, given=self.metadata.given(candidate.entry, read.data))

    def _new(
        self, candidate: Candidate, read: ReadImage, before: StoredImage | None
    ) -> PreparedImage:
        """Return what is stored of an image that its id does not hold yet; see `_record`."""
        entry = candidate.entry
        return PreparedImage(
            entry.name,
            self._record(candidate, read, before),
            file=entry if isinstance(entry, FileEntry) else None,
            stored=candidate.stored,
            keeps_metadata=candidate.given is None,
        )

    def _record(self, candidate: Candidate, read: ReadImage, before: StoredImage | None) -> Record:
        """Return the record of an image; what the caller does not give is that of `before`."""
        entry = candidate.entry
        file = read if isinstance(entry, FileEntry) and isinstance(read, ImageFile) else None
        kept = before.record.metadata if before is not None else {}
        expires = before.record.expires if before is not None else None
        if self.metadata.ttl is not None:
            expires = self.catalog.records.clock() + self.metadata.ttl
        return Record(
            id=candidate.id,
            uri=entry.uri,
            metadata=kept if candidate.given is None else candidate.given,
            models=tuple(chain.from_iterable(self.spaces.values())),
            content=read.content,
            size=read.size,
            modified_ns=None if file is None else file.modified_ns,
            expires=expires,
        )

    def _complete(
        self, candidate: Candidate, stored: StoredImage, read: ReadImage
    ) -> PreparedImage | Outcome:
        """Bring what is stored of an unchanged image up to date."""
        before, candidate = stored.record, self._asked(candidate, read)
        record = replace(self._record(candidate, read, stored), id=before.id)
        if record.uri is None:
            record = replace(record, uri=before.uri, modified_ns=before.modified_ns)
        image = PreparedImage(
            candidate.entry.name, record, status=Status.UNCHANGED, stored=stored, amends=True
        )
        image.tensors = self._tensors(before.models, read)
        same = same_metadata(record.metadata, before.metadata)
        if not image.tensors and same and replace(record, models=before.models) == before:
            return Outcome(image.name, Status.UNCHANGED, id=before.id)
        if image.tensors or not same or record.uri != before.uri:
            image.status = Status.INDEXED
        return image

    def _move(
        self, candidate: Candidate, former: StoredImage, file: ImageFile, root: Root
    ) -> PreparedImage:
        """Give a stored image the path at which its file is now."""
        before = former.record
        image = self._new(candidate, file, former)
        image.status, image.former = Status.MOVED, former
        if not root.gave_id(before):  # an id that the caller chose stays
            image.record = replace(image.record, id=before.id)
        image.tensors = self._tensors(before.models, file)
        return image

    def _tensors(self, known: Container[str], read: ReadImage) -> dict[str, ModelInput]:
        """Return an image as the models take it whose vectors are not known."""
        missing = [
            embedder
            for embedder in self.embedders
            if any(name not in known for name in self.spaces[embedder.name])
        ]
        return {
            embedder.name: model_input(embedder, image)
            for embedder, image in opened_for(missing, self.reading, read.decode)
        }


@dataclass(frozen=True, slots=True)
class BackfillWorker(IndexingWorker):
    """Gives stored images the vectors of further models, and leaves all else as it is."""

    def _result(self, one: _ReadCandidate, twins: _Twins) -> Result:
        candidate, read, stored = one.candidate, one.read, one.candidate.stored
        if stored is None or stored.record.content != read.content:
            error = f"file {candidate.entry.uri!r} no longer shows what was stored: index it again"
            return Outcome(candidate.entry.name, Status.MISSING, error=error)
        image = PreparedImage(candidate.entry.name, stored.record, stored=stored, amends=True)
        image.tensors = self._tensors((), read)
        return image


def _embed(embedder: Embedder, images: Sequence[PreparedImage]) -> Mapping[str, EmbeddingError]:
    """Give each image its vector of this model; return by id what failed."""
    if not images:
        return {}
    try:
        vectors = embed_inputs(embedder, [image.tensors[embedder.name] for image in images])
    except EmbeddingError as error:
        if len(images) == 1:
            return {images[0].record.id: error}
        # One by one, so that a single image does not take the others with it.
        return {id: e for image in images for id, e in _embed(embedder, [image]).items()}
    for place, image in enumerate(images):
        del image.tensors[embedder.name]
        image.vectors |= {name: rows[place] for name, rows in vectors.items()}
    return {}
