"""Photographs to measure with: views of the album's, each of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TILE = 250
"""Pixels in each side of a cut."""
NOISE = 2.0
"""Deviation of the brightness, of 255 levels."""
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


def write_large_photos(
    folder: Path, count: int, size: tuple[int, int] = (4000, 3000)
) -> list[Path]:
    """Write `count` JPEGs as large and as sharp as a phone's, and return their paths.

    A photograph of the album that is enlarged to 12 megapixels would be smooth, and
    faster to decode than one of a camera. So each is a collage of cuts of the album in
    their own size, with the noise of a sensor, of 3 to 4 MB.
    """
    sources = [Image.open(path).convert("RGB") for path in sorted(ALBUM.rglob("*.jpg"))]
    random = np.random.default_rng(1)
    noise = NOISE * random.standard_normal((size[1], size[0], 1), np.float32)
    paths = []
    for number in range(count):
        canvas = Image.new("RGB", size)
        for left in range(0, size[0], TILE):
            for top in range(0, size[1], TILE):
                source = sources[random.integers(len(sources))]
                x, y = (int(random.integers(max(1, side - TILE))) for side in source.size)
                canvas.paste(source.crop((x, y, x + TILE, y + TILE)), (left, top))
        noisy = np.asarray(canvas, np.float32) + np.roll(noise, random.integers(size[1]), axis=0)
        paths.append(folder / f"{number:05}.jpg")
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths
