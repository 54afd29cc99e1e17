"""An album of duplicates with names that no page should believe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from onnxsearch import (
    DuplicateGroups,
    Embedder,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    Tensor,
    open_image,
)

EVIL = ("<img src=x onerror=alert(1)>.png", "=cmd|' !A0.png", '</script><b>, "x".png')


class Shape(Embedder):
    """Sees an image as 8 by 8 pixels: the same at every size."""

    name, dimension, fingerprint = "shape", 192, "shape"  # type: ignore[assignment]

    def prepare(self, image: ImageInput) -> Tensor:
        small = open_image(image).convert("RGB").resize((8, 8), Image.Resampling.BOX)
        return np.asarray(small, np.float32).ravel() - 127.5

    def run(self, batch: Tensor) -> Tensor:
        return batch


def motif(seed: int, width: int = 192, height: int = 128) -> Image.Image:
    """Draw patches of colour with fine lines, so that blur shows."""
    patches = np.random.default_rng(seed).integers(40, 215, (6, 9, 3)).astype(np.uint8)
    image = Image.fromarray(patches).resize((192, 128), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.int16) + np.where(np.arange(192) % 8 < 4, 24, -24)[:, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((width, height))


@contextmanager
def duplicates(folder: Path) -> Iterator[DuplicateGroups]:
    """Yield four groups: of sizes, of blur with an exact copy, of names, and without files."""
    folder.mkdir(exist_ok=True)
    motif(1, 96, 64).save(folder / "small.png")
    motif(1).save(folder / "large.png")
    motif(1, 144, 96).save(folder / "middle.jpg", quality=95)
    motif(2).filter(ImageFilter.GaussianBlur(3)).save(folder / "blurred.png")
    motif(2).save(folder / "sharp.png")
    shutil.copy(folder / "sharp.png", folder / "sharp copy.png")
    for number, name in enumerate(EVIL):
        motif(3, 96 + 2 * number, 64).save(folder / name.replace("/", "\u2215"))
    with SearchEngine([Shape()], InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        assert not engine.index(folder).failures
        for id in ("memory & one", "memory <two>"):
            engine.add(motif(4), id=id)
        groups = engine.duplicates(0.5)
        assert [len(group) for group in groups] == [3, 3, 3, 2]
        yield groups
