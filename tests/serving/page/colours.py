"""Images of plain colours, and embedders that see colours and know their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from onnxsearch import Embedder, ImageInput, ModelDescription, Vectors
from onnxsearch.embedders.base import Tensor, unit_vectors
from onnxsearch.embedders.description import ModelFile, TextModelDescription
from onnxsearch.images.reading import open_image

NAMES = ("red", "crimson", "orange", "gold", "green", "teal", "blue", "navy", "purple", "white")
_WARM = frozenset(NAMES[:4])


class GreyEmbedder(Embedder):
    """Sees how light the four quarters of an image are."""

    def __init__(self, name: str = "grey") -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return 5

    @property
    def fingerprint(self) -> str:
        return f"test {self._name}"

    def prepare(self, image: ImageInput) -> Tensor:
        grey = open_image(image).convert("L").resize((2, 2))
        return _vector(np.asarray(grey, np.float32).ravel())

    def run(self, batch: Tensor) -> Tensor:
        return batch


class ColourEmbedder(GreyEmbedder):
    """Sees the mean colour of an image, and finds colours by their English names."""

    def __init__(self, name: str = "colour") -> None:
        super().__init__(name)

    @property
    def dimension(self) -> int:
        return 4

    def prepare(self, image: ImageInput) -> Tensor:
        (colour,) = np.asarray(open_image(image).convert("RGB").resize((1, 1)), np.float32)[0]
        return _vector(colour)

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        names = [texts] if isinstance(texts, str) else texts
        rows = [_vector(np.float32(ImageColor.getrgb(name)[:3])) for name in names]
        return unit_vectors(np.stack(rows), self.name)

    def describe(self) -> ModelDescription:
        nothing = ModelFile(sha256="0" * 64, size=0, name="none")
        return replace(super().describe(), text=TextModelDescription(nothing, nothing, {}))


def is_warm(name: str) -> bool:
    """Return whether a colour is one of the warm ones."""
    return name in _WARM


def write_colour(path: Path, name: str) -> Path:
    """Write an image of one colour as PNG."""
    Image.new("RGB", (96, 72), name).save(path)
    return path


def write_shades(folder: Path, count: int) -> None:
    """Write images between black and white, each a little different."""
    for number in range(count):
        level = 40 + number * 180 // count
        write_colour(folder / f"shade-{number:03}.png", f"rgb({level},{level},{level})")


def _vector(levels: Tensor) -> Tensor:
    # The last number keeps a grey of the middle from having no direction.
    return np.append(levels / 255 - 0.5, 0.1).astype(np.float32)
