"""Encoding of queries: one vector per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.telemetry.observation import ObservedStep
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.base import Embedder, TextQueries
from onnxsearch.embedders.opening import opened_for
from onnxsearch.errors import ImageNotFoundError, InvalidArgumentError
from onnxsearch.images.reading import ReadPolicy, all_bytes, open_image
from onnxsearch.search.query import ExamplesQuery, IdQuery, QueryInput, TextQuery, VectorQuery
from onnxsearch.search.regions import check_whole
from onnxsearch.search.similarity import signed_bits
from onnxsearch.search.stored_vectors import stored_query
from onnxsearch.types import ImageInput, Metric

if TYPE_CHECKING:
    from PIL import Image

    from onnxsearch.vectors.base import Vectors

_EMBED_TEXT = ObservedStep("embed_text", "onnxsearch.embedders")

_UNLIKE_WEIGHT = 0.2
"""Weight of the negative examples, where the positive ones have 1: Rocchio's gamma / beta
with the values that Manning, Raghavan and Schütze recommend (Introduction to Information
Retrieval, 2008, section 9.1.1: 0.15 and 0.75)."""


@dataclass(frozen=True, slots=True)
class QueryEncoder:
    """Turns queries into vectors."""

    catalog: Catalog
    reading: ReadPolicy

    def vectors(self, query: QueryInput, embedders: Sequence[Embedder]) -> dict[str, Vectors]:
        """Return the query's vector by model, each of shape (columns,).

        An image is decoded once for all models that take it in the same size.

        Raises:
            ImageError: An image cannot be used.
            InvalidArgumentError: No image of that id is stored, a model does not embed
                text, a vector does not fit, or examples cancel each other out.
        """
        match query:
            case IdQuery(wanted):
                remedy = "Pass its file, or box=... for a part of it"
                check_whole(embedders, "Query.id(...) does", remedy)
                return stored_query(self.catalog, embedders, wanted)
            case TextQuery(words):
                return {e.name: text_vectors(e, [words])[0] for e in embedders}
            case VectorQuery(row):
                return _given(row, embedders)
            case ExamplesQuery(like, unlike):
                return self._combined(like, unlike, embedders)
        return self._embedded(query, embedders)  # type: ignore[arg-type]

    def _embedded(self, query: ImageInput, embedders: Sequence[Embedder]) -> dict[str, Vectors]:
        if isinstance(query, list | tuple | set):
            raise InvalidArgumentError(
                f"query {query!r:.80}: expected one image, or one Query. For several images use "
                "search_many(), for examples of one thing Query.examples()"
            )
        if len(embedders) > 1 and hasattr(query, "read"):
            query = all_bytes(cast("BinaryIO", query))  # it may be opened more than once
        opened = opened_for(embedders, self.reading, partial(_open, query))
        found = {embedder.name: embedder.embed(image)[0] for embedder, image in opened}
        return {embedder.name: found[embedder.name] for embedder in embedders}

    def _combined(
        self,
        like: Sequence[QueryInput],
        unlike: Sequence[QueryInput],
        embedders: Sequence[Embedder],
    ) -> dict[str, Vectors]:
        near = [self.vectors(example, embedders) for example in like]
        far = [self.vectors(example, embedders) for example in unlike]
        return {
            e.name: _rocchio([row[e.name] for row in near], [row[e.name] for row in far], e.metric)
            for e in embedders
        }


def _open(query: ImageInput, policy: ReadPolicy) -> Image.Image:
    try:
        return open_image(query, policy)
    except ImageNotFoundError as error:
        if not isinstance(query, str):
            raise
        raise ImageNotFoundError(
            f"{error}. A string is the path of an image. To search for words, pass "
            "text='...'; for a stored image by its id, Query.id('...')"
        ) from error


def text_vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Return the vectors of texts, one a row.

    Raises:
        InvalidArgumentError: The embedder embeds images only, or a text is no string.
    """
    if not isinstance(embedder, TextQueries):
        raise InvalidArgumentError(
            f"model {embedder.name!r} embeds images only: a query by text needs a model with a "
            "text tower, such as CLIP. Name it with model=..."
        )
    with _EMBED_TEXT(len(texts), {"onnxsearch.model": embedder.name}):
        vectors: Vectors = embedder.embed_text(texts)
    return vectors


def _given(row: NDArray[np.generic], embedders: Sequence[Embedder]) -> dict[str, Vectors]:
    if len(embedders) > 1:
        raise InvalidArgumentError(
            "a vector query belongs to one model: pass model='name' instead of models=[...], and "
            "rerank by no other model"
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


def _rocchio(near: Sequence[Vectors], far: Sequence[Vectors], metric: Metric) -> Vectors:
    """Return Rocchio's combination of rows of shape (columns,)."""
    mean = _mean(near, metric)
    if far:
        mean = mean - _UNLIKE_WEIGHT * _mean(far, metric)
    if metric is Metric.HAMMING:
        return np.packbits(mean > 0)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise InvalidArgumentError(
            "the examples cancel each other out: no direction is left to look in"
        )
    return (mean / length).astype(np.float32)


def _mean(rows: Sequence[Vectors], metric: Metric) -> NDArray[np.float64]:
    matrix = signed_bits(np.stack(rows)) if metric is Metric.HAMMING else np.stack(rows)
    mean: NDArray[np.float64] = matrix.mean(axis=0, dtype=np.float64)
    return mean
