"""Models whose vectors a test chooses: they are the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxsearch import (
    Embedder,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    MetadataStore,
    Metric,
    SearchEngine,
    Tensor,
    VectorStore,
    open_image,
)

PIXELS = 4


class Pixels(Embedder):
    """The first pixels, less 128, each weighted: models with other weights rank otherwise.

    With `Metric.HAMMING` a bit is whether a number is above 0.
    """

    def __init__(
        self,
        name: str = "pixels",
        weights: Sequence[float] = (1.0,),
        metric: Metric = Metric.L2,
    ) -> None:
        self._name, self._metric = name, metric
        self._weights = np.resize(np.array(weights, np.float32), 3 * PIXELS)

    name = property(lambda self: self._name)  # type: ignore[assignment]
    metric = property(lambda self: self._metric)  # type: ignore[assignment]
    fingerprint = property(lambda self: f"{self._name} {self._weights}")  # type: ignore[assignment]

    @property
    def dimension(self) -> int:
        """Numbers, or bits."""
        return 3 * PIXELS + (-3 * PIXELS % 8 if self._metric is Metric.HAMMING else 0)

    def prepare(self, image: ImageInput) -> Tensor:
        pixels = np.asarray(open_image(image).convert("RGB"), np.float32).reshape(-1)[: 3 * PIXELS]
        return (pixels - 127.5) * self._weights

    def run(self, batch: Tensor) -> Tensor:
        return np.packbits(batch > 0, axis=1) if self._metric is Metric.HAMMING else batch


def pixels(*numbers: int) -> NDArray[np.uint8]:
    """Return an image of these numbers; those that lack are 128."""
    padded = np.full(3 * PIXELS, 128, np.uint8)
    padded[: len(numbers)] = numbers
    return padded.reshape(1, PIXELS, 3)


def random_pixels(count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return images of random pixels, in a few clusters."""
    random = np.random.default_rng(seed)
    centres = random.integers(40, 216, (max(1, count // 6), 3 * PIXELS))
    chosen = centres[random.integers(0, len(centres), count)]
    noisy = chosen + random.integers(-30, 31, chosen.shape)
    return [pixels(*row) for row in noisy.clip(0, 255)]


def filled(
    stores: tuple[VectorStore, MetadataStore] | None = None,
    count: int = 40,
    metric: Metric = Metric.L2,
) -> SearchEngine:
    """Return an engine with two models and random images, which have ids and metadata."""
    vectors, records = stores or (InMemoryVectorStore(), InMemoryMetadataStore())
    models = [Pixels("one", metric=metric), Pixels("two", (1, 3, -1), metric=metric)]
    engine = SearchEngine(models, vectors, records)
    metadata = [{"half": number % 2, "tens": number // 10} for number in range(count)]
    images = zip(random_pixels(count), metadata, strict=True)
    engine.add_many(Item(image, f"{n:03}", each) for n, (image, each) in enumerate(images))
    return engine
