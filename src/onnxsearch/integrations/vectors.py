"""Vectors as the numbers that frameworks expect, from embedders that they can name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import instance
from onnxsearch.embedders.base import DEFAULT_BATCH, Embedder
from onnxsearch.locations import named_embedder
from onnxsearch.search.query_encoder import text_vectors
from onnxsearch.types import ImageInput, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxsearch.types import Vectors


def as_embedder(model: Embedder | str | os.PathLike[str]) -> Embedder:
    """Return the embedder that a caller gave, by itself, by its name or by its file.

    Args:
        model: An embedder; the name of a bundled model or of one that `onnxsearch models get`
            has downloaded; or the path of an `.onnx` file that knows its preprocessing.

    Raises:
        InvalidArgumentError: It is none of these.
        ModelError: The model cannot be used.
    """
    if isinstance(model, Embedder):
        return model
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder

    expected = "an Embedder, the name of a model, or the path of an .onnx file"
    name = os.fspath(instance("model", model, (str, os.PathLike), expected))
    return OnnxEmbedder(name) if name.endswith(".onnx") else named_embedder(name)


def text_rows(embedder: Embedder, texts: Sequence[str]) -> list[list[float]]:
    """Return the vectors of texts as lists of numbers.

    Raises:
        InvalidArgumentError: The embedder has no text tower, or a text is no string.
    """
    return _rows(text_vectors(embedder, texts), embedder)


def image_rows(
    embedder: Embedder, images: Iterable[ImageInput], batch_size: int = DEFAULT_BATCH
) -> list[list[float]]:
    """Return the vectors of images as lists of numbers.

    Raises:
        ImageError: An image cannot be used.
        InvalidArgumentError: `batch_size` is below 1.
    """
    return _rows(embedder.embed(images, batch_size=batch_size), embedder)


def as_numbers(vectors: Vectors, embedder: Embedder) -> NDArray[np.float32]:
    """Return vectors as a matrix (n, dimension) of floats; a bit becomes 0.0 or 1.0."""
    if embedder.metric is Metric.HAMMING:
        return np.unpackbits(vectors.astype(np.uint8), axis=1).astype(np.float32)
    return vectors.astype(np.float32)


def _rows(vectors: Vectors, embedder: Embedder) -> list[list[float]]:
    rows: list[list[float]] = as_numbers(vectors, embedder).tolist()
    return rows
