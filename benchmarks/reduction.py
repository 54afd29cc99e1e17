"""What decoding at a reduced size changes in searches, on labelled photographs.

    python -m benchmarks.reduction FOLDER [--large FOLDER]

FOLDER holds a folder of photographs per class, as for `benchmarks.quality`. The folder of
`--large` holds large photographs, at any depth. Each line compares vectors of the bundled
model with the exact profile, and with the resampler `reducing`, on three sets:

- the photographs as they are;
- collages of 4000 x 3000 pixels, each of photographs in their own size, so that they are as
  sharp as a camera's; two fifths of the tiles show the class of the collage, the others any;
- views: six cuts out of each large photograph, which is their class.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.quality import leave_one_out
from onnxsearch import OnnxEmbedder
from onnxsearch.embedders.bundled import DEFAULT_MODEL

TILE = 250
COLLAGE = (4000, 3000)
PER_CLASS = 4
OWN = 0.4
"""Share of the tiles of a collage that show its class."""
VIEWS = 6
LEAST = 1200
"""Pixels in each side of a view, at least: fewer would be decoded at full size."""

Labelled = Iterator[tuple[bytes, str]]


def as_they_are(photos: Sequence[Path]) -> Labelled:
    for path in photos:
        yield path.read_bytes(), path.parent.name


def collages(photos: Sequence[Path]) -> Labelled:
    """Yield collages; every one is another arrangement."""
    random = np.random.default_rng(0)
    tiles = [_tile(path) for path in photos]
    labels = np.array([path.parent.name for path in photos])
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        for _ in range(PER_CLASS):
            canvas = Image.new("RGB", COLLAGE)
            for left in range(0, COLLAGE[0], TILE):
                for top in range(0, COLLAGE[1], TILE):
                    chosen = own if random.random() < OWN else np.arange(len(tiles))
                    canvas.paste(tiles[random.choice(chosen)], (left, top))
            yield _jpeg(canvas), str(label)


def views(photos: Sequence[Path]) -> Labelled:
    """Yield cuts of different places and sizes."""
    random = np.random.default_rng(0)
    for path in photos:
        photo = Image.open(path).convert("RGB")
        for _ in range(VIEWS):
            share = random.uniform(max(0.4, LEAST / min(photo.size)), 1)
            width, height = (int(share * side) for side in photo.size)
            left = int(random.integers(photo.width - width + 1))
            top = int(random.integers(photo.height - height + 1))
            yield _jpeg(photo.crop((left, top, left + width, top + height))), str(path)


def compare(name: str, images: Labelled) -> None:
    exact, reducing = OnnxEmbedder.bundled(profile=DEFAULT_MODEL), OnnxEmbedder.bundled()
    found: list[tuple[np.ndarray, np.ndarray]] = []
    labels: list[str] = []
    for data, label in images:
        found.append((exact.embed(data)[0], reducing.embed(data)[0]))
        labels.append(label)
    before, after = (np.stack(side) for side in zip(*found, strict=True))
    cosines = (before * after).sum(axis=1)
    one, other = leave_one_out(before, labels), leave_one_out(after, labels)
    print(
        f"{name:10} {len(labels):5} images, {len(set(labels)):3} classes: "
        f"P@1 {one.precision_at_1:.4f} -> {other.precision_at_1:.4f}, "
        f"mAP {one.mean_average_precision:.4f} -> {other.mean_average_precision:.4f}, "
        f"cosine mean {cosines.mean():.4f}, least {cosines.min():.4f}",
        flush=True,
    )


def _tile(path: Path) -> Image.Image:
    photo = Image.open(path).convert("RGB")
    left, top = ((side - TILE) // 2 for side in photo.size)
    return photo.crop((left, top, left + TILE, top + TILE))


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reduction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", type=Path)
    options = parser.parse_args(arguments)
    photos = sorted(path for path in options.folder.glob("*/*") if path.is_file())
    compare("originals", as_they_are(photos))
    compare("collages", collages(photos))
    if options.large:
        found = (path for path in sorted(options.large.rglob("*.jpg")) if not path.is_symlink())
        compare("views", views([p for p in found if min(Image.open(p).size) >= LEAST]))


if __name__ == "__main__":
    main()
