"""Images of three kinds, whose vectors lie in three clouds, and whose kinds have names."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from onnxsearch import (
    Embedder,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Metric,
    SearchEngine,
    Tensor,
    Vectors,
    open_image,
)

KINDS = ("ant", "bee", "cat")

_DIMENSION = 16
_TEXTS = {
    form.format(kind): (place, 200 + number)
    for place, kind in enumerate(KINDS)
    for number, form in enumerate(("a photo of a {}", "the {}"))
}


def image_of(kind: str, number: int) -> Image.Image:
    """Draw an image whose colour says what kind it is, and which one."""
    return Image.new("RGB", (1, 1), (KINDS.index(kind), number, 0))


class CloudEmbedder(Embedder):
    """Puts the images of a kind around its centre, and the name of the kind nearby.

    Args:
        spread: How wide the clouds are; 0.3 keeps them apart.
        metric: The metric; `Metric.HAMMING` gives bits.
    """

    def __init__(self, *, spread: float = 0.3, metric: Metric = Metric.COSINE) -> None:
        self._spread = spread
        self.metric = metric

    @property
    def name(self) -> str:
        return "clouds"

    @property
    def dimension(self) -> int:
        return _DIMENSION

    @property
    def fingerprint(self) -> str:
        return f"clouds-{self._spread}-{self.metric}"

    def prepare(self, image: ImageInput) -> Tensor:
        return np.asarray(open_image(image), np.float32)[0, 0]

    def run(self, batch: Tensor) -> Tensor:
        rows = np.stack([self._vector(int(row[0]), int(row[1])) for row in batch])
        return np.packbits(rows > 0, axis=1) if self.metric is Metric.HAMMING else rows

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        names = [texts] if isinstance(texts, str) else list(texts)
        rows = np.stack([self._text_vector(name) for name in names])
        if self.metric is Metric.HAMMING:
            return np.packbits(rows > 0, axis=1)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _text_vector(self, text: str) -> Tensor:
        if text in _TEXTS:
            return self._vector(*_TEXTS[text])
        return np.random.default_rng(zlib.crc32(text.encode())).normal(size=_DIMENSION)

    def _vector(self, kind: int, number: int) -> Tensor:
        centre = np.random.default_rng(kind).normal(size=_DIMENSION)
        noise = np.random.default_rng([kind, number]).normal(size=_DIMENSION)
        return (centre + self._spread * noise).astype(np.float32)


def cloud_engine(embedder: Embedder) -> SearchEngine:
    """Return an engine with eight labelled images of each kind, and one without a label."""
    engine = SearchEngine([embedder], InMemoryVectorStore(), InMemoryMetadataStore())
    for kind in KINDS:
        for number in range(8):
            engine.add(image_of(kind, number), id=f"{kind}-{number}", metadata={"kind": kind})
        engine.add(image_of(kind, 100), id=f"{kind}-new")
    return engine
