"""A model with regions that needs no file: it sees the colours of the cells of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsearch import Embedder, ImageInput, PreprocessingProfile, Region, Vectors
from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.regions import RegionModel

_random = np.random.default_rng(0)
WEIGHTS = _random.normal(0, 8, (96, 3))
BIASES = _random.normal(0, 1, 96)
SIDE = 48
CELLS = 12
PROFILE = PreprocessingProfile("mosaic", (SIDE, SIDE), fit="shortest", resample="box")


class Mosaic(Embedder):
    """Its feature map is a mosaic of 12 x 12 cells, in features of their colours."""

    name, dimension, fingerprint = "mosaic", 96, "mosaic-1"

    def __init__(self, *, regions: bool = True) -> None:
        self.runs: list[int] = []
        self.regions = RegionModel(self, (SIDE, SIDE), (SIDE, SIDE), "map") if regions else None

    def prepare(self, image: ImageInput) -> Tensor:
        opened = image if isinstance(image, Image.Image) else Image.open(image)  # type: ignore[arg-type]
        return PROFILE.apply(opened, "NCHW")

    def run(self, batch: Tensor) -> Tensor:
        self.runs.append(len(batch))
        return self._maps(batch).mean((2, 3))

    def embed_with_map(self, tensors: Sequence[Tensor]) -> tuple[Vectors, Tensor]:
        batch = np.stack(tensors)
        return self._checked(self.run(batch), len(batch)), self._maps(batch)

    def seen_part(self, image: Image.Image) -> Region:
        return PROFILE.seen_part(image)

    def _maps(self, batch: Tensor) -> NDArray[np.float32]:
        size = SIDE // CELLS
        cells = batch.reshape(len(batch), 3, CELLS, size, CELLS, size).mean((3, 5))
        raised = np.einsum("fc,nchw->nfhw", WEIGHTS, cells / 255 - 0.5) + BIASES[:, None, None]
        maps: NDArray[np.float32] = np.maximum(raised, 0).astype(np.float32)
        return maps


def patchwork(seed: int, side: int = 96) -> Image.Image:
    """Return an image of 4 x 4 squares of random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)


def collage(base: int, part: int, at: tuple[int, int]) -> Image.Image:
    """Return a patchwork of 96 pixels with another one, a third as large, at a place."""
    image = patchwork(base)
    image.paste(patchwork(part, 32), at)
    return image
