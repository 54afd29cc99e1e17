"""Queries: images, ids of stored images, text, vectors, examples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from onnxsearch._internal.validation import instance, items, text as checked_text
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import ImageInput


class Query:
    """A query that is not a single image.

    Example:
        >>> Query.id("holiday/beach.jpg")
        >>> Query.text("a red apple")
        >>> Query.examples(like=["rose.jpg", "tulip.jpg"], unlike=["cactus.jpg"])
    """

    __slots__ = ()

    @staticmethod
    def id(id: str) -> Query:
        """The stored image of this id. Its vectors are stored, so no model runs."""
        return IdQuery(checked_text("id", id, "the id of a stored image"))

    @staticmethod
    def text(text: str) -> Query:
        """A description, for models that put text and images into one space.

        A list of texts is refused: search for each text by itself.
        """
        return TextQuery(checked_text("text", text, "one text to search for"))

    @staticmethod
    def vector(vector: ArrayLike) -> Query:
        """A vector of one model's space, of shape (dimension,); it is not normalised.

        For `Metric.HAMMING`: (dimension / 8,) uint8.
        """
        try:
            row = np.array(vector)
        except ValueError as error:
            raise InvalidArgumentError(
                f"vector {vector!r:.80}: expected numbers, of shape (dimension,)"
            ) from error
        if row.ndim != 1 or row.dtype.kind not in "fiu":
            raise InvalidArgumentError(
                f"vector of shape {row.shape} and type {row.dtype}: expected numbers, of shape "
                "(dimension,)"
            )
        return VectorQuery(row)

    @staticmethod
    def examples(like: Iterable[QueryInput], unlike: Iterable[QueryInput] = ()) -> Query:
        """Something near the `like` and away from the `unlike`.

        The vector is the mean of `like` minus a fifth of the mean of `unlike` (Rocchio's
        formula), scaled to length 1; for `Metric.HAMMING` each bit votes in the same way.

        Args:
            like: Images or queries, at least one.
            unlike: Images or queries.

        Raises:
            InvalidArgumentError: `like` is empty: at least one positive example is
                required.
        """
        positive, negative = _examples("like", like), _examples("unlike", unlike)
        if not positive:
            raise InvalidArgumentError(
                "examples(like=[]): expected at least one positive example; `unlike` alone "
                "does not say what to look for"
            )
        return ExamplesQuery(positive, negative)


def _examples(name: str, examples: Iterable[QueryInput]) -> tuple[QueryInput, ...]:
    expected = "a list of images and queries"
    given = items(name, examples, expected, (Mapping, *_SINGLE))
    for example in given:
        if not hasattr(example, "read"):
            instance(name, example, _SINGLE, expected)
    return tuple(given)


_SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, Image.Image, Query)


QueryInput: TypeAlias = "ImageInput | Query"
"""A query: an image, or a `Query`."""


@dataclass(frozen=True, slots=True)
class IdQuery(Query):
    """A stored image, by its id."""

    wanted: str

    def __str__(self) -> str:
        return self.wanted


@dataclass(frozen=True, slots=True)
class TextQuery(Query):
    """A description in words."""

    words: str

    def __str__(self) -> str:
        return f'"{self.words}"'


@dataclass(frozen=True, slots=True, eq=False)
class VectorQuery(Query):
    """A vector of one model."""

    row: NDArray[np.generic]

    def __str__(self) -> str:
        return f"a vector of {self.row.size} numbers"


@dataclass(frozen=True, slots=True, eq=False)
class ExamplesQuery(Query):
    """Positive and negative examples."""

    like: tuple[QueryInput, ...]
    unlike: tuple[QueryInput, ...]

    def __str__(self) -> str:
        return f"{len(self.like)} examples like it, {len(self.unlike)} unlike it"


def query_of(like: Sequence[QueryInput], unlike: Sequence[QueryInput] = ()) -> QueryInput:
    """Return what is searched for with examples, at least one: a single one is itself the query."""
    return like[0] if len(like) == 1 and not unlike else Query.examples(like, unlike)


def query_name(query: QueryInput) -> str:
    """Return what a report calls the query."""
    if isinstance(query, Query):
        return str(query)
    if isinstance(query, str | os.PathLike):
        return os.path.basename(os.fspath(query))
    return "an image"


def query_image(query: QueryInput) -> ImageInput | None:
    """Return the query if it is an image."""
    return None if isinstance(query, Query) else query
