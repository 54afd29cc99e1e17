"""The seam between the engine and whatever turns pictures into vectors."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.errors import EmbeddingError
from onnxsearch.types import ImageInput, Metric, Vectors

Tensor: TypeAlias = "NDArray[np.number]"
"""What a model is fed: an array of any shape and type."""

DEFAULT_BATCH = 8
"""Pictures per run of the model. On a CPU larger batches are no faster and take more
memory; on a GPU pass a larger one."""


class Embedder(Closeable):
    """Turns pictures into vectors, in two steps.

    `prepare` makes of one picture the tensor that the model is fed; `run` makes
    of several tensors as many vectors. The engine decodes a picture once, has
    every embedder prepare it, and runs each on batches. Both steps may be called
    from several threads at once.

    A subclass writes `prepare`, `run` and three properties. What is concrete here
    batches, checks and normalises.

    Example:
        >>> import numpy as np
        >>> from onnxsearch import Embedder
        >>> class MeanColour(Embedder):
        ...     name, dimension, fingerprint = "mean-colour", 3, "mean-colour-1"
        ...     def prepare(self, image):
        ...         return np.asarray(image.convert("RGB"), np.float32).mean((0, 1))
        ...     def run(self, batch):
        ...         return batch + 1.0
    """

    metric: Metric = Metric.L2
    """How distances are measured. With `Metric.HAMMING`, `run` returns packed bits."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The model's name, unique in an engine: letters, digits, `.`, `_`, `-`."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Numbers in a vector (bits, for `Metric.HAMMING`)."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the vector space.

        Two embedders with one fingerprint give the same vector for the same
        picture; whatever changes a vector must change the fingerprint.
        """

    @abstractmethod
    def prepare(self, image: ImageInput) -> Tensor:
        """Make of one picture the tensor that the model is fed, without batch axis.

        The engine passes a Pillow image that is loaded, of any mode, and shared
        with other embedders: read it, don't change it.

        Raises:
            ImageError: The picture cannot be used.
        """

    @abstractmethod
    def run(self, batch: Tensor) -> Tensor:
        """Make of n tensors, stacked on a first axis, an array (n, dimension).

        Need not be normalised. For `Metric.HAMMING`: (n, dimension / 8) uint8.
        """

    def parallel(self, workers: int) -> Embedder:
        """Return an embedder to the same space, tuned for `workers` threads at once.

        The bulk pipeline calls it once. The default has nothing to tune.
        """
        del workers
        return self

    def close(self) -> None:
        """Release what the embedder holds. The default holds nothing."""

    def embed(
        self, images: ImageInput | Iterable[ImageInput], *, batch_size: int = DEFAULT_BATCH
    ) -> Vectors:
        """Return the vectors of `images`, one a row, in order.

        Args:
            images: Pictures, or a single one (which gives one row). They are
                taken from an iterator as they are needed.
            batch_size: Pictures per run of the model, at least 1.

        Returns:
            Matrix (n, dimension) float32 of unit vectors; for `Metric.HAMMING`
            (n, dimension / 8) uint8.

        Raises:
            ImageError: A picture cannot be used.
            EmbeddingError: The model gave NaN, zeros or another shape.

        Example:
            >>> from onnxsearch import OnnxEmbedder
            >>> OnnxEmbedder.bundled().embed("photo.jpg").shape
            (1, 1280)
        """
        batch_size = integer("batch_size", batch_size, least=1)
        rows = [
            self.embed_tensors([self.prepare(image) for image in batch])
            for batch in batched(_as_iterable(images), batch_size)
        ]
        if not rows:
            return self._checked(np.empty((0, self.columns), self.metric.dtype), 0)
        return np.concatenate(rows)

    def embed_tensors(self, tensors: Sequence[Tensor]) -> Vectors:
        """Run the model on tensors from `prepare`, check and normalise its output.

        Raises:
            EmbeddingError: The model gave NaN, zeros or another shape.
        """
        return self._checked(self.run(np.stack(tensors)), len(tensors))

    @property
    def columns(self) -> int:
        """Columns of the matrix that `embed` returns."""
        return self.metric.columns(self.dimension)

    def _checked(self, output: Tensor, rows: int) -> Vectors:
        if output.shape != (rows, self.columns):
            raise EmbeddingError(
                f"model {self.name!r} returned shape {output.shape} for {rows} pictures: "
                f"expected {(rows, self.columns)}"
            )
        if self.metric is Metric.HAMMING:
            if output.dtype != np.uint8:
                raise EmbeddingError(
                    f"model {self.name!r} returned {output.dtype}: expected packed bits, uint8"
                )
            return output.astype(np.uint8)
        return unit_vectors(output, self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {self.dimension} dimensions>"


@runtime_checkable
class TextQueries(Protocol):
    """What an embedder that also understands words has beside `Embedder`'s methods.

    `SearchEngine.search(text=...)` asks for it.
    """

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in the space of the pictures.

        Args:
            texts: Descriptions such as "a red apple", or a single one (which gives
                one row).

        Returns:
            Matrix (n, dimension), of what `Embedder.embed` returns.

        Raises:
            InvalidArgumentError: The embedder has no text tower, or was given
                something else than text.
            EmbeddingError: The model gave NaN, zeros or another shape.
        """
        ...


def unit_vectors(output: Tensor, model: str) -> Vectors:
    """Return the rows of `output` (n, dimension), each of length 1, as float32.

    Raises:
        EmbeddingError: A row holds NaN or infinity, or only zeros. `model` is named.
    """
    vectors = output.astype(np.float32)
    # A NaN or an infinity in a row makes its norm one too. The norm is taken in
    # float64: the square of a large float32 overflows.
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise EmbeddingError(
            f"model {model!r} returned NaN, infinity or only zeros. Float16 models overflow on "
            "some pictures: try the float32 export"
        )
    return (vectors / norms).astype(np.float32)


def _as_iterable(images: ImageInput | Iterable[ImageInput]) -> Iterable[ImageInput]:
    # Paths, bytes, open files, pictures and arrays are pictures; several of these
    # can be iterated over as well, so the only honest way is to ask what they are.
    from PIL import Image

    single = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    if isinstance(images, single) or hasattr(images, "read"):
        return [images]  # type: ignore[list-item]
    return images
