"""An embedder without a model: a perceptual hash of 64 bits, and the Hamming distance.

    python examples/perceptual_hash.py [IMAGE]

Finds resized, compressed or toned copies of an image, and nothing else. The program prints
how many bits differ between an image of the album and edited copies of it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from onnxsearch import (
    Embedder,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Metric,
    PreprocessingProfile,
    SearchEngine,
    Tensor,
)
from onnxsearch.images.reading import open_image

HERE = Path(__file__).parent


# [embedder]
class PerceptualHash(Embedder):
    """One bit for each of the 64 lowest frequencies: is it stronger than their median?

    The frequencies are the discrete cosine transform of the brightness at 32 x 32 pixels:
    Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    """

    name = "perceptual-hash"
    dimension = 64
    fingerprint = "perceptual-hash-1"  # change it whenever the vectors change
    metric = Metric.HAMMING
    profile = PreprocessingProfile("perceptual-hash", size=(32, 32))
    waves = np.cos(np.pi / 32 * np.outer(np.arange(1, 9), np.arange(32) + 0.5))

    def prepare(self, image: ImageInput) -> Tensor:
        return np.asarray(self.profile.pixels(open_image(image)).convert("L"), np.float64)

    def run(self, batch: Tensor) -> Tensor:
        frequencies = (self.waves @ batch @ self.waves.T).reshape(len(batch), 64)
        strong = frequencies > np.median(frequencies, axis=1, keepdims=True)
        return np.packbits(strong, axis=1)


# [embedder end]


def edited_copies(image: Image.Image) -> dict[str, ImageInput]:
    small = io.BytesIO()
    image.resize((image.width // 3, image.height // 3)).save(small, "JPEG", quality=30)
    return {
        "the same": image,
        "a third of the size, JPEG 30": small.getvalue(),
        "brighter": ImageEnhance.Brightness(image).enhance(1.3),
        "grey": ImageOps.grayscale(image),
        "blurred": image.filter(ImageFilter.GaussianBlur(2)),
        "mirrored": ImageOps.mirror(image),
    }


def main(path: Path) -> None:
    with InMemoryVectorStore() as vectors, InMemoryMetadataStore() as metadata:
        engine = SearchEngine(PerceptualHash(), vectors, metadata)
        engine.index(HERE / "album")
        engine.add(path)
        for name, copy in edited_copies(Image.open(path).convert("RGB")).items():
            (nearest,) = engine.search(copy, limit=1)
            print(f"{nearest.distance:3.0f} of 64 bits  {Path(nearest.id).name}  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "album" / "cat" / "cat.jpg")
