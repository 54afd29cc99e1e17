"""Photographs to measure with: views of the album's, each of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

ALBUM = Path(__file__).resolve().parents[1] / "examples" / "album"


def write_photos(folder: Path, count: int, size: tuple[int, int] = (640, 480)) -> list[Path]:
    """Write `count` JPEGs of `size`, no two alike, and return their paths."""
    sources = [Image.open(path).convert("RGB") for path in sorted(ALBUM.rglob("*.jpg"))]
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        source = sources[number % len(sources)]
        left, top = (random.uniform(0, 0.2) * side for side in source.size)
        right, bottom = (random.uniform(0.8, 1) * side for side in source.size)
        view = source.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))
        paths.append(folder / f"{number:05}.jpg")
        view.save(paths[-1], quality=88)
    return paths
