"""What a search can start from, and how each model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.base import Embedder, TextQueries
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy, open_image
from onnxsearch.types import ImageInput, Metric

if TYPE_CHECKING:
    from onnxsearch.vectors.base import Vectors, VectorStore

_AVERSION = 0.2
"""Weight of the examples to keep away from, where those to come near to have 1:
Rocchio's gamma / beta with the values that Manning, Raghavan and Schütze recommend
(Introduction to Information Retriever, 2008, section 9.1.1: 0.15 and 0.75)."""


class Query:
    """What to look for, where one picture does not say it.

    Example:
        >>> Query.id("holiday/beach.jpg")
        >>> Query.text("a red apple")
        >>> Query.examples(like=["rose.jpg", "tulip.jpg"], unlike=["cactus.jpg"])
    """

    __slots__ = ()

    @staticmethod
    def id(id: str) -> Query:
        """The stored picture of this id. Its vectors are stored, so no model runs."""
        return _Id(id)

    @staticmethod
    def text(text: str) -> Query:
        """A description, for models that put text and pictures into one space."""
        return _Text(text)

    @staticmethod
    def vector(vector: ArrayLike) -> Query:
        """A vector of one model's space, of shape (dimension,); it is not normalised.

        For `Metric.HAMMING`: (dimension / 8,) uint8.
        """
        return _Vector(np.array(vector))

    @staticmethod
    def examples(like: Sequence[QueryInput], unlike: Sequence[QueryInput] = ()) -> Query:
        """Something near the `like` and away from the `unlike`.

        The vector is the mean of the one less a fifth of the mean of the other (Rocchio's
        formula), scaled to length 1; for `Metric.HAMMING` each bit votes so.

        Args:
            like: Pictures or queries, at least one.
            unlike: Pictures or queries.

        Raises:
            InvalidArgumentError: `like` is empty: away from something is nowhere.
        """
        if not like:
            raise InvalidArgumentError(
                "examples(like=[]): expected at least one example to come near to; those in "
                "`unlike` alone tell only where not to look"
            )
        return _Examples(tuple(like), tuple(unlike))


QueryInput: TypeAlias = "ImageInput | Query"
"""What to look for: a picture, or a `Query`."""


@dataclass(frozen=True, slots=True)
class _Id(Query):
    wanted: str

    def __str__(self) -> str:
        return self.wanted


@dataclass(frozen=True, slots=True)
class _Text(Query):
    words: str

    def __str__(self) -> str:
        return f'"{self.words}"'


@dataclass(frozen=True, slots=True, eq=False)
class _Vector(Query):
    row: NDArray[np.generic]

    def __str__(self) -> str:
        return f"a vector of {self.row.size} numbers"


@dataclass(frozen=True, slots=True, eq=False)
class _Examples(Query):
    like: tuple[QueryInput, ...]
    unlike: tuple[QueryInput, ...]

    def __str__(self) -> str:
        return f"{len(self.like)} examples like it, {len(self.unlike)} unlike it"


@dataclass(frozen=True, slots=True)
class QueryEncoder:
    """Turns queries into vectors."""

    catalog: Catalog
    store: VectorStore
    reading: ReadPolicy

    def vectors(self, query: QueryInput, embedders: Sequence[Embedder]) -> dict[str, Vectors]:
        """Return the query's vector by model, each of shape (columns,).

        A picture is decoded once, however many models there are.

        Raises:
            ImageError: A picture cannot be used.
            InvalidArgumentError: There is no picture of that id, a model knows no text,
                a vector does not fit, or examples cancel each other out.
        """
        match query:
            case _Id(wanted):
                return self._stored(wanted, embedders)
            case _Text(words):
                return {e.name: _text_tower(e).embed_text(words)[0] for e in embedders}
            case _Vector(row):
                return _only_one(row, embedders)
            case _Examples(like, unlike):
                return self._combined(like, unlike, embedders)
        picture = open_image(query, self.reading)  # type: ignore[arg-type]
        return {embedder.name: embedder.embed(picture)[0] for embedder in embedders}

    def _stored(self, wanted: str, embedders: Sequence[Embedder]) -> dict[str, Vectors]:
        stored = self.catalog.records.find([wanted]).get(wanted)
        if stored is None:
            raise InvalidArgumentError(
                f"there is no picture of id {wanted!r} here. A file's id is its absolute path"
            )
        found: dict[str, Vectors] = {}
        for name in (embedder.name for embedder in embedders):
            rows = self.store.fetch(self.catalog.collection(name), [stored.key])
            if stored.key not in rows:
                raise InvalidArgumentError(
                    f"picture {wanted!r} has no vector of model {name!r}: it was stored before "
                    f"that model came. engine.backfill({name!r}) fills what is missing"
                )
            found[name] = rows[stored.key]
        return found

    def _combined(
        self,
        like: Sequence[QueryInput],
        unlike: Sequence[QueryInput],
        embedders: Sequence[Embedder],
    ) -> dict[str, Vectors]:
        near = [self.vectors(example, embedders) for example in like]
        far = [self.vectors(example, embedders) for example in unlike]
        return {
            e.name: _between([row[e.name] for row in near], [row[e.name] for row in far], e.metric)
            for e in embedders
        }


def _text_tower(embedder: Embedder) -> TextQueries:
    if not isinstance(embedder, TextQueries):
        raise InvalidArgumentError(
            f"model {embedder.name!r} knows pictures only: a query by text needs a model with a "
            "text tower, as CLIP has one. Name it with model=..."
        )
    return embedder


def _only_one(row: NDArray[np.generic], embedders: Sequence[Embedder]) -> dict[str, Vectors]:
    if len(embedders) > 1:
        raise InvalidArgumentError(
            "a vector lies in the space of one model: name it with model=..., without others"
        )
    (embedder,) = embedders
    hamming = embedder.metric is Metric.HAMMING
    if row.shape != (embedder.columns,) or (hamming and row.dtype != np.uint8):
        raise InvalidArgumentError(
            f"vector of shape {row.shape} and type {row.dtype}: model {embedder.name!r} takes "
            f"({embedder.columns},) {'uint8' if hamming else 'float32'}"
        )
    if not (hamming or np.issubdtype(row.dtype, np.floating)):
        raise InvalidArgumentError(f"vector of type {row.dtype}: expected floating-point numbers")
    return {embedder.name: row.astype(np.uint8 if hamming else np.float32)}


def _between(near: Sequence[Vectors], far: Sequence[Vectors], metric: Metric) -> Vectors:
    """Return Rocchio's combination of rows of shape (columns,)."""
    mean = _mean(near, metric)
    if far:
        mean = mean - _AVERSION * _mean(far, metric)
    if metric is Metric.HAMMING:
        return np.packbits(mean > 0)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise InvalidArgumentError(
            "the examples cancel each other out: no direction is left to look in"
        )
    return (mean / length).astype(np.float32)


def _mean(rows: Sequence[Vectors], metric: Metric) -> NDArray[np.float64]:
    matrix = np.stack(rows)
    if metric is Metric.HAMMING:
        # A bit that is set votes for, one that is not against.
        matrix = np.unpackbits(matrix.astype(np.uint8), axis=1) * 2.0 - 1.0
    mean: NDArray[np.float64] = matrix.mean(axis=0, dtype=np.float64)
    return mean
