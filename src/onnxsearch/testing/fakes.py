"""An embedder without a model, and images for it, for the tests of applications."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsearch._internal.validation import check_name
from onnxsearch.embedders.base import DEFAULT_BATCH, Embedder, Tensor
from onnxsearch.errors import EmbeddingError, InvalidArgumentError
from onnxsearch.images.reading import open_image
from onnxsearch.types import ImageInput, Vectors

_Pair: TypeAlias = "frozenset[str]"

_DIGEST = hashlib.sha256().digest_size
_FREE_DIMENSIONS = 2
_SMALLEST_STEP = 1e-5


@dataclass(frozen=True, slots=True)
class FakeCalls:
    """The calls of a `FakeEmbedder`, in order."""

    prepared: tuple[str, ...]
    """For each call of `prepare` the name of the image; for an image that neither
    `rankings` nor `failures` names, the SHA-256 of its pixels in hex."""
    batches: tuple[int, ...]
    """For each call of `run` the number of images."""


class FakeEmbedder(Embedder):
    """An embedder whose search results the test defines.

    The embedder recognises an image by its pixels, which `picture` draws from a name. A
    search for an image in `rankings` finds the images listed there, in that order, at
    growing distances, and all others further away. (If the query itself is stored, it
    comes first, at distance 0.) An image that no ranking names has a vector that
    depends only on its pixels and is the same in every process.

    Args:
        name: The model's name. Fakes with different names are different models.
        dimension: Numbers in a vector: at least two more than the number of names in
            `rankings`.
        rankings: For each query the names that it finds, nearest first. With an empty
            list, `calls` shows the query's name, and nothing else changes.
        failures: For each name the error that `prepare` raises for that image.

    Raises:
        InvalidArgumentError: The rankings contradict each other, because distances are
            symmetric; or `dimension` is too small; or the names are so many that float32
            cannot distinguish the distances.

    Example:
        >>> from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
        >>> from onnxsearch.testing import FakeEmbedder, picture
        >>> fake = FakeEmbedder(rankings={"query": ["cat", "dog"]})
        >>> engine = SearchEngine([fake], InMemoryVectorStore(), InMemoryMetadataStore())
        >>> for name in ["fox", "dog", "cat"]:
        ...     engine.add(picture(name), id=name)
        >>> engine.search(picture("query")).ids
        ['cat', 'dog', 'fox']
        >>> fake.calls.batches
        (1, 1, 1, 1)
    """

    def __init__(
        self,
        name: str = "fake",
        dimension: int = 16,
        *,
        rankings: Mapping[str, Sequence[str]] | None = None,
        failures: Mapping[str, Exception] | None = None,
    ) -> None:
        rankings = dict(rankings or {})
        self._name = check_name(name)
        self._dimension = dimension
        self._failures = dict(failures or {})
        vectors = _dictated(rankings, dimension)
        self._vectors = {_digest(picture(known)): row for known, row in vectors.items()}
        self._names = {_digest(picture(known)): known for known in (*vectors, *self._failures)}
        settings = json.dumps(
            [name, dimension, {query: list(found) for query, found in rankings.items()}],
            sort_keys=True,
        )
        self._fingerprint = f"fake-{hashlib.sha256(settings.encode()).hexdigest()}"
        self._prepared: list[str] = []
        self._batches: list[int] = []
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._dimension

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space: a hash of name, dimension and rankings."""
        return self._fingerprint

    @property
    def calls(self) -> FakeCalls:
        """The calls so far."""
        with self._lock:
            return FakeCalls(tuple(self._prepared), tuple(self._batches))

    def embed(
        self, images: ImageInput | Iterable[ImageInput], *, batch_size: int = DEFAULT_BATCH
    ) -> Vectors:
        """Return the vectors of `images` as `Embedder.embed` does, in one thread.

        So `calls` are in the order of the images, and the same on every machine.
        """
        return self._embed_with(1, images, batch_size)

    def prepare(self, image: ImageInput) -> Tensor:
        """Return the SHA-256 of the image's pixels, of shape (32,) uint8.

        Raises:
            ImageError: The image cannot be read.
        """
        digest = _digest(open_image(image))
        known = self._names.get(digest, digest.hex())
        with self._lock:
            self._prepared.append(known)
        if known in self._failures:
            raise self._failures[known]
        return np.frombuffer(digest, np.uint8)

    def run(self, batch: Tensor) -> Tensor:
        """Return the vectors of the digests, of shape (n, dimension) float32.

        Raises:
            EmbeddingError: `batch` is not a stack of results of `prepare`.
        """
        if batch.ndim != 2 or batch.shape[1] != _DIGEST or batch.dtype != np.uint8:
            raise EmbeddingError(
                f"model {self.name!r} was fed {batch.dtype} of shape {batch.shape}: expected "
                f"uint8 of shape (n, {_DIGEST}), a stack of what prepare() returns"
            )
        with self._lock:
            self._batches.append(len(batch))
        rows = [self._vector(row.tobytes()) for row in batch]
        return np.asarray(rows, np.float32).reshape(len(rows), self.dimension)

    def _vector(self, digest: bytes) -> NDArray[np.float64]:
        if digest in self._vectors:
            return self._vectors[digest]
        # Vectors of other images are orthogonal to those of all ranked names, so they are
        # further from a query than every image that it should find.
        vector = np.zeros(self.dimension)
        free = self.dimension - len(self._vectors)
        noise = hashlib.shake_256(self._name.encode() + digest).digest(4 * free)
        vector[len(self._vectors) :] = np.frombuffer(noise, "<u4") / 2.0**31 - 1.0
        return vector


def picture(name: str) -> Image.Image:
    """Draw the image of `name`: 32 by 32 pixels, RGB, the same in every process.

    A PNG file keeps the image as it is; a JPEG file changes its pixels.
    """
    colours = np.frombuffer(hashlib.shake_256(name.encode()).digest(48), np.uint8)
    squares = colours.reshape(4, 4, 3).repeat(8, axis=0).repeat(8, axis=1)
    return Image.fromarray(squares)


def picture_bytes(name: str) -> bytes:
    """Return `picture(name)` as the bytes of a PNG file."""
    file = BytesIO()
    picture(name).save(file, "PNG")
    return file.getvalue()


def write_pictures(folder: str | os.PathLike[str], names: Iterable[str]) -> list[Path]:
    """Write `picture(name)` to `{folder}/{name}.png` for each name.

    Missing folders are created, also those in a name such as `pets/cat`.

    Returns:
        The paths, in the order of the names.
    """
    paths = []
    for name in names:
        path = Path(folder) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(name))
        paths.append(path)
    return paths


def _digest(image: Image.Image) -> bytes:
    rgb = image.convert("RGB")
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).digest()


def _dictated(
    rankings: Mapping[str, Sequence[str]], dimension: int
) -> dict[str, NDArray[np.float64]]:
    """Return a vector for every name, such that each query finds its ranking.

    The rankings order the pairs of names by distance; the place of a pair in that order
    becomes its cosine. A symmetric matrix with ones on its diagonal, and a sum below one
    beside it in each row, is positive definite (Gershgorin), so its Cholesky factor
    holds unit vectors with these cosines.
    """
    names = sorted({*rankings, *(found for listed in rankings.values() for found in listed)})
    if dimension < len(names) + _FREE_DIMENSIONS:
        raise InvalidArgumentError(
            f"dimension {dimension}: {len(names)} names in rankings need at least "
            f"{len(names) + _FREE_DIMENSIONS}"
        )
    place = {name: number for number, name in enumerate(names)}
    likeness = np.zeros((len(names), len(names)))
    for pair, level in _levels(rankings, names).items():
        one, other = (place[name] for name in pair)
        likeness[one, other] = likeness[other, one] = level
    # Slightly below one, because the factor of a singular matrix would be imprecise.
    step = 0.9 / max(1.0, likeness.sum(axis=1).max(initial=0.0))
    if step < _SMALLEST_STEP:
        raise InvalidArgumentError(
            f"rankings of {len(names)} names: so many that float32 cannot tell the distances "
            "apart. Use fewer or shorter rankings"
        )
    factor = np.linalg.cholesky(np.eye(len(names)) + step * likeness)
    padded = np.pad(factor, ((0, 0), (0, dimension - len(names))))
    return dict(zip(names, padded, strict=True))


def _levels(rankings: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[_Pair, int]:
    """Return the similarity of each pair as a level; 0 for pairs that are not ranked."""
    nobody: _Pair = frozenset()
    order: TopologicalSorter[_Pair] = TopologicalSorter()
    lower: dict[_Pair, list[_Pair]] = {nobody: []}
    for query, found in rankings.items():
        if isinstance(found, str) or query in found or len(set(found)) != len(found):
            raise InvalidArgumentError(
                f"ranking of {query!r}: expected a list of other names, each once; got {found!r}"
            )
        others = [frozenset({query, name}) for name in names if name not in {query, *found}]
        ranked = [frozenset({query, name}) for name in found]
        for number, pair in enumerate(ranked):
            following = [ranked[number + 1]] if number + 1 < len(ranked) else others
            lower.setdefault(pair, []).extend([nobody, *following])
    for pair, below in lower.items():
        order.add(pair, *below)
    levels: dict[_Pair, int] = {}
    try:
        for pair in order.static_order():
            levels[pair] = max((levels[below] + 1 for below in lower.get(pair, ())), default=0)
    except CycleError as error:
        pairs = ", ".join(" and ".join(sorted(pair)) for pair in error.args[1][:-1])
        raise InvalidArgumentError(
            "rankings contradict each other: a distance is the same from both sides, and of "
            f"these pairs each would have to be nearer than the next, in a circle: {pairs}"
        ) from error
    del levels[nobody]
    return levels
