"""Values of the public interface, all frozen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NamedTuple, TypeAlias

from onnxsearch._internal.tables import Tabular, columns_of, row

if TYPE_CHECKING:
    from datetime import date

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

JSONValue: TypeAlias = (
    "str | int | float | bool | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
)
"""Value of a metadata field: any JSON value, without NaN and infinity."""

Metadata: TypeAlias = "Mapping[str, JSONValue]"
"""Metadata of an image: values by field name."""

MetadataValue: TypeAlias = (
    "str | int | float | bool | date | Sequence[MetadataValue] | Mapping[str, MetadataValue] | None"
)
"""Value of a metadata field that a caller gives: a JSON value, or a date or time, which is stored
as ISO 8601 text (see `F`)."""

MetadataInput: TypeAlias = "Mapping[str, MetadataValue]"
"""Metadata that a caller gives: values by field name."""

ImageInput: TypeAlias = (
    "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]"
)
"""An image: a path, the bytes of a file, an open binary file, a Pillow image, or an RGB array of
shape (height, width, 3) and type uint8."""

OpenImage: TypeAlias = "Callable[[], ImageInput]"
"""A function that returns an image. A worker thread calls it when the image is needed, so that
a source of many images holds none of them in memory. It raises an `ImageError` if there is no
image. An open file that it returns is closed."""

Vectors: TypeAlias = "NDArray[np.float32 | np.uint8]"
"""A matrix of vectors, one a row: (n, dimension) float32, or for `Metric.HAMMING`
(n, dimension / 8) uint8, eight bits packed in each byte."""


class Metric(StrEnum):
    """Definition of the distance between two vectors. A smaller distance is always nearer.

    ========= ============================================ ==================
    metric    distance                                     score
    ========= ============================================ ==================
    `l2`      Euclidean distance (not its square)          1 / (1 + distance)
    `cosine`  1 - cosine of the angle                      the cosine
    `ip`      1 - inner product                            the inner product
    `hamming` number of bits that differ                   1 / (1 + distance)
    ========= ============================================ ==================

    The form 1 - inner product is that of hnswlib. With it, `ip` and `cosine` agree on unit
    vectors, which every `Embedder` returns.
    """

    L2 = "l2"
    IP = "ip"
    COSINE = "cosine"
    HAMMING = "hamming"

    @property
    def dtype(self) -> np.dtype[np.float32 | np.uint8]:
        """Type of the numbers in a matrix of vectors: uint8 for packed bits, else float32."""
        import numpy as np

        return np.dtype(np.uint8) if self is Metric.HAMMING else np.dtype(np.float32)

    def columns(self, dimension: int) -> int:
        """Return the columns of a matrix of vectors: a byte holds eight bits."""
        return dimension // 8 if self is Metric.HAMMING else dimension

    def score(self, distance: float) -> float:
        """Return the score (higher is better) that belongs to `distance`."""
        if self in (Metric.IP, Metric.COSINE):
            return 1.0 - distance
        return 1.0 / (1.0 + distance)


@dataclass(frozen=True, slots=True)
class Record:
    """Stored data of one image, without its vectors."""

    id: str
    """The id that the caller chose, or for files the absolute path; below the root of the
    index (see `SearchEngine.index`) the path relative to it."""
    uri: str | None = None
    """Where the image came from: the absolute path of its file, or an address such as
    `https://host/cat.jpg`; None for an image in memory that came without one."""
    metadata: Metadata = field(default_factory=dict[str, "JSONValue"])
    """Metadata by the caller."""
    models: tuple[str, ...] = ()
    """Names of the models whose vectors are stored."""
    content: str | None = None
    """BLAKE2b-128 of the file's bytes, in hex; None for a Pillow image or an array."""
    size: int | None = None
    """Size of the file in bytes."""
    modified_ns: int | None = None
    """Modification time of the file in nanoseconds since 1970; None for an image that was not
    read from a file of its own."""
    paths: tuple[str, ...] = ()
    """Absolute paths of all files that are known to show the image: its own, then those of exact
    copies, which `index` did not store again. Only `get`, `records`, `update` and copies to
    other engines give the paths of copies."""
    expires: float | None = None
    """Time in seconds since 1970 from which the image is no longer found; None for never."""

    @property
    def file(self) -> str | None:
        """Absolute path of the image's file; None if it came from memory or an address.

        A path inside an archive may look like that of a file. Only files have a time.
        """
        return None if self.modified_ns is None else self.uri


@dataclass(frozen=True, slots=True)
class Item:
    """One image to store, with what is known of it."""

    image: ImageInput | OpenImage
    """The image, or a function that returns it."""
    id: str | None = None
    """The id to store it under; by default its `uri`, or a new random id."""
    metadata: MetadataInput | None = None
    """Metadata of the image: a JSON object. None keeps what is stored under the id."""
    uri: str | None = None
    """Where the image comes from: an absolute path, or an address such as
    `https://host/cat.jpg`. By default the path, if the image is one."""


class Region(NamedTuple):
    """A part of an image, in fractions of its upright width and height, from 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    def in_pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in pixels of an upright image of this size.

        Example:
            >>> Region(0.25, 0.5, 0.75, 1.0).in_pixels(640, 480)
            (160, 240, 480, 480)
        """
        return (
            round(self.left * width),
            round(self.top * height),
            round(self.right * width),
            round(self.bottom * height),
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """One image that a search found."""

    id: str
    """The image's id."""
    uri: str | None
    """Where the image came from; see `Record.uri`."""
    distance: float
    """Distance to the query, by the metric's definition; smaller is nearer. Of a fused
    hit, and of one that was found by keywords alone: 1 - score."""
    score: float
    """Similarity to the query; higher is better, whatever the metric. By keywords alone: BM25."""
    metadata: Metadata
    """The metadata that were stored with the image."""
    model: str
    """Name of the model that found it; of a fused hit all names, separated by "+". The ranking
    by keywords is named "keywords"."""
    similarity: float | None = None
    """Cosine of the angle between the vectors of the query and the image, from -1 to 1,
    whatever the metric; for `Metric.HAMMING` 1 - 2 * differing bits / all bits, where a bit
    counts as +1 or -1. None for a fused hit, and for one found by keywords alone."""
    rerank_score: float | None = None
    """With `rerank`, the score by which the hit was reordered; higher is better. None for a hit
    that was not. The other fields are those of the search that found it, whatever the order."""
    region: Region | None = None
    """Of a search for regions: where in the image the one nearest to the query is. Its edges are
    as coarse as the cells of the model's feature map."""


class Status(StrEnum):
    """The outcome of one file or item."""

    INDEXED = "indexed"
    """Embedded and stored; searches find the image from now on."""
    UNCHANGED = "unchanged"
    """Stored by an earlier run, and still the same."""
    MOVED = "moved"
    """Stored before under a path that no longer shows it: the record, its metadata and its
    vectors have the new path now, and no model ran."""
    DUPLICATE = "duplicate"
    """Byte for byte the same as an image that is stored under another id."""
    SKIPPED = "skipped"
    """Not looked at as an image: a hidden or system file, a linked folder, an excluded path,
    or a file that is not an image by its content and its name."""
    REMOVED = "removed"
    """The file no longer exists, so the image was removed (`prune=True` only)."""
    MISSING = "missing"
    """The file does not exist."""
    BROKEN = "broken"
    """An image that is damaged or unreadable, that a model cannot embed, or whose metadata
    cannot be used."""
    TOO_LARGE = "too_large"
    """More pixels than the limit allows; it was not decoded."""
    UNSUPPORTED = "unsupported"
    """Named like an image, but not one, or of a format that is not supported."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one file or item, with the reason."""

    uri: str
    """The file's absolute path; of an item its `uri` or id, or its position, as in "item 3"."""
    status: Status
    id: str | None = None
    """The id under which the image is stored (for a duplicate: its twin's)."""
    error: str | None = None
    """Why the file is not stored; None where it is."""

    def __post_init__(self) -> None:
        if self.id == self.uri:  # a report holds many, and a third of one is its id
            object.__setattr__(self, "id", self.uri)


@dataclass(frozen=True, slots=True, repr=False)
class IndexReport(Tabular):
    """Outcomes of all files or items of one call, such as of `SearchEngine.index`."""

    outcomes: Sequence[Outcome]
    """One entry per file or item, in the order in which they were found."""
    seconds: float = 0.0
    """Duration of the run."""

    _columns: ClassVar[Mapping[str, str]] = columns_of(Outcome)

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return the outcomes as dictionaries with the fields of `Outcome`."""
        return [row(outcome) for outcome in self.outcomes]

    @property
    def counts(self) -> dict[str, int]:
        """Number of files or items by status; 0 for a status that did not occur.

        The keys are the values of `Status`, which are strings: both
        `counts["indexed"]` and `counts[Status.INDEXED]` work.
        """
        found = Counter(outcome.status for outcome in self.outcomes)
        return {status.value: found[status] for status in Status}

    @property
    def failures(self) -> list[Outcome]:
        """The files that could not be indexed; skipped files are not failures."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.error is not None and outcome.status is not Status.SKIPPED
        ]

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items() if n)
        return f"<IndexReport {counts or 'no files'} in {self.seconds:.1f} s>"


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long operation."""

    done: int
    """Number of finished items."""
    total: int | None
    """Number of all items; None if unknown."""
    current: str = ""
    """The last finished item."""
