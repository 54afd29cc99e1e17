"""The abstraction `Embedder`: images in, vectors out."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice
from math import ceil
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.telemetry.observation import ObservedStep
from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch._internal.validation import instance, integer, items
from onnxsearch.embedders.description import ModelDescription, class_path
from onnxsearch.errors import EmbeddingError, InvalidArgumentError
from onnxsearch.types import ImageInput, Metric, Vectors

if TYPE_CHECKING:
    from onnxsearch.images.reading import ReadPolicy

Tensor: TypeAlias = "NDArray[np.number]"
"""A model's input or output: an array of any shape and type."""

_EMBED = ObservedStep("embed", "onnxsearch.embedders")

DEFAULT_BATCH = 8
"""Images per run of the model. On a CPU larger batches are no faster and take more
memory; on a GPU pass a larger one."""


_REAL = "fiub"
"""Kinds of numpy types that vectors may have: floating point, integers, booleans."""


class Embedder(Closeable):
    """Turns images into vectors, in two steps.

    `prepare` makes the model's input tensor of one image; `run` turns a batch of
    such tensors into vectors. The engine decodes an image once, lets every embedder
    prepare it, and runs each model on batches. Several threads may call both steps
    at once.

    A subclass writes `prepare`, `run` and three properties. The concrete methods
    batch, check and normalise.

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

        Two embedders with the same fingerprint give the same vector for the same
        image. Every setting that changes a vector must change the fingerprint.
        """

    @abstractmethod
    def prepare(self, image: ImageInput) -> Tensor:
        """Make the model's input tensor of one image, without batch axis.

        The engine passes a loaded Pillow image of any mode, which other embedders
        share: read the image, don't change it.

        Raises:
            ImageError: The image cannot be used.
        """

    @abstractmethod
    def run(self, batch: Tensor) -> Tensor:
        """Turn n tensors, stacked on a first axis, into an array (n, dimension).

        The rows need not be normalised. For `Metric.HAMMING`: (n, dimension / 8) uint8.
        """

    def check_reading(self, policy: ReadPolicy) -> None:
        """Raise an error if images that were opened by `policy` do not suit the model.

        The engine asks once, before it opens any image. The default accepts every policy.

        Raises:
            ProfileError: They do not.
        """
        del policy

    def reading_for(self, policy: ReadPolicy) -> ReadPolicy:
        """Return how the engine is to open images for the embedder.

        An embedder that needs few pixels may ask for a smaller `ReadPolicy.draft`; it then
        has a fingerprint of its own. The default takes images as the engine's own policy
        opens them.

        Args:
            policy: The policy of the engine. What it sets stays.
        """
        return policy

    def parallel(self, workers: int) -> Embedder:
        """Return an embedder to the same space, tuned for `workers` threads at once.

        The indexing pipeline calls it once. The default returns the embedder itself.
        """
        del workers
        return self

    def describe(self) -> ModelDescription:
        """Return what an index remembers of the embedder.

        `SearchEngine.open` without embedders makes an `OnnxEmbedder` again from its
        description. The default describes an embedder that only its own program can make.
        """
        return ModelDescription(
            self.name, class_path(type(self)), self.dimension, self.metric, self.fingerprint
        )

    def close(self) -> None:
        """Release what the embedder holds. The default holds nothing."""

    def embed(
        self, images: ImageInput | Iterable[ImageInput], *, batch_size: int = DEFAULT_BATCH
    ) -> Vectors:
        """Return the vectors of `images`, one a row, in order.

        Several images are decoded and embedded on all cores, in `parallel` threads.

        Args:
            images: Images, or a single image (which gives one row). An iterator is
                read a few batches ahead.
            batch_size: Images per run of the model, at most; at least 1.

        Returns:
            Matrix (n, dimension) float32 of unit vectors; for `Metric.HAMMING`
            (n, dimension / 8) uint8.

        Raises:
            ImageError: An image cannot be used.
            EmbeddingError: The model gave NaN, zeros or another shape.

        Example:
            >>> from onnxsearch import OnnxEmbedder
            >>> OnnxEmbedder.bundled().embed("photo.jpg").shape
            (1, 1280)
        """
        return self._embed_with(available_cores(), images, batch_size)

    def _embed_with(
        self, workers: int, images: ImageInput | Iterable[ImageInput], batch_size: int
    ) -> Vectors:
        """Return what `embed` returns, computed by so many threads."""
        batch_size = integer("batch_size", batch_size, least=1)
        rest = iter(_as_iterable(images))
        # Two at least, so that one is known to be the only one.
        first = list(islice(rest, max(2, workers * batch_size)))
        if len(first) == 1:  # which has all cores by itself
            return _embed_batch(self, first)
        # Few images are shared out, so that every thread has some.
        share = min(batch_size, ceil(len(first) / workers)) or 1
        batches = chain(batched(first, share), batched(rest, batch_size))
        embed = partial(_embed_batch, self.parallel(workers))
        rows = list(ordered_map(embed, batches, workers=workers))
        return np.concatenate(rows) if rows else self.embed_tensors([])

    def embed_tensors(self, tensors: Sequence[Tensor]) -> Vectors:
        """Run the model on tensors from `prepare`, check and normalise its output.

        Raises:
            EmbeddingError: The model gave NaN, zeros or another shape, or the tensors
                differ in shape.
        """
        for tensor in items("tensors", tensors, "a list of arrays from prepare()"):
            instance("tensors", tensor, np.ndarray, "a list of arrays from prepare()")
        if not len(tensors):
            return self._checked(np.empty((0, self.columns), self.metric.dtype), 0)
        try:
            batch = np.stack(tensors)
        except ValueError as error:
            shapes = sorted({np.shape(tensor) for tensor in tensors})
            raise EmbeddingError(
                f"prepare() of model {self.name!r} made tensors of shapes {shapes}: expected "
                "one shape for all images"
            ) from error
        with _EMBED(len(tensors), {"onnxsearch.model": self.name}):
            return self._checked(self.run(batch), len(tensors))

    @property
    def columns(self) -> int:
        """Columns of the matrix that `embed` returns."""
        return self.metric.columns(self.dimension)

    def _checked(self, returned: object, rows: int) -> Vectors:
        if not isinstance(returned, np.ndarray) or returned.dtype.kind not in _REAL:
            kind = getattr(returned, "dtype", type(returned).__name__)
            raise EmbeddingError(
                f"run() of model {self.name!r} returned {kind}: expected an array of real numbers"
            )
        output: Tensor = returned
        if output.shape != (rows, self.columns):
            raise EmbeddingError(
                f"model {self.name!r} returned shape {output.shape} for {rows} images: "
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
    """Protocol of embedders that can also embed text.

    `SearchEngine.search(text=...)` asks for it.
    """

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in the space of the images.

        Args:
            texts: Descriptions such as "a red apple", or a single one (which gives
                one row).

        Returns:
            Matrix (n, dimension), like that of `Embedder.embed`.

        Raises:
            InvalidArgumentError: The embedder has no text model, or an argument is not
                a text.
            EmbeddingError: The model gave NaN, zeros or another shape.
        """
        ...


def unit_vectors(output: Tensor, model: str) -> Vectors:
    """Return the rows of `output` (n, dimension), each of length 1, as float32.

    Raises:
        EmbeddingError: A row holds NaN or infinity, or only zeros. `model` is named.
    """
    with np.errstate(over="ignore"):  # reported below
        vectors = output.astype(np.float32)
    # A NaN or an infinity in a row makes its norm one too. The norm is taken in
    # float64: the square of a large float32 overflows.
    norms: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        raise EmbeddingError(
            f"model {model!r} returned NaN, infinity or only zeros. Float16 models overflow on "
            "some images: try the float32 export"
        )
    return (vectors / norms).astype(np.float32)


def _embed_batch(embedder: Embedder, images: Sequence[ImageInput]) -> Vectors:
    return embedder.embed_tensors([embedder.prepare(image) for image in images])


def _as_iterable(images: ImageInput | Iterable[ImageInput]) -> Iterable[ImageInput]:
    # A path, bytes, an open file and an array are images, and some of them can be
    # iterated over as well: only their types distinguish them from lists of images.
    from PIL import Image

    single = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    if isinstance(images, single) or hasattr(images, "read"):
        return [images]  # type: ignore[list-item]
    if not isinstance(images, Iterable):
        raise InvalidArgumentError(f"images {images!r:.80}: expected an image, or several")
    return images
