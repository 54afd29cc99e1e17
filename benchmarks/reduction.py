"""What decoding at a reduced size changes in searches, on labelled photographs.

    python -m benchmarks.reduction FOLDER [--large FOLDER] [--model MODEL.onnx=PROFILE]

FOLDER holds a folder of photographs per class, as for `benchmarks.quality`. The folder of
`--large` holds large photographs, at any depth. Three kinds of vectors are compared: those of the
exact profile; of the resampler `reducing`; and of the exact profile after one value in a thousand
has grown by one level, which shows how much of a difference means nothing. A model in 8 bits
doubles such noise from layer to layer; for a model in float32 it is nothing. Three sets:

- the photographs as they are;
- collages of 4000 x 3000 pixels, each of photographs in their own size, so that they are as
  sharp as a camera's; two fifths of the tiles show the class of the collage, the others any;
- views: six cuts out of each large photograph, which is their class.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.quality import leave_one_out
from onnxsearch import OnnxEmbedder, PreprocessingProfile, ReadPolicy
from onnxsearch.embedders.bundled import DEFAULT_MODEL, bundled_model
from onnxsearch.images.reading import open_image

TILE = 250
COLLAGE = (4000, 3000)
PER_CLASS = 4
OWN = 0.4
"""Share of the tiles of a collage that show its class."""
VIEWS = 6
NOISE = 0.001
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


def compare(name: str, images: Labelled, model: Path, exact: PreprocessingProfile) -> None:
    """Print how searches among `images` differ."""
    reducing = replace(exact, resampler="reducing")
    # Takes pixels of the model's own size as they are.
    embedder = OnnxEmbedder(model, profile=replace(exact, fit="squash", resize_to=None))
    random = np.random.default_rng(0)
    labels: list[str] = []
    kinds: dict[str, list[np.ndarray]] = {"exact": [], "noise": [], "reducing": []}
    for data, label in images:
        labels.append(label)
        pixels = np.asarray(exact.pixels(open_image(data)))
        noisy = pixels + ((random.random(pixels.shape) < NOISE) & (pixels < 255))
        reduced = reducing.pixels(open_image(data, reducing.reading_for(ReadPolicy())))
        for kind, made in zip(kinds, (pixels, noisy, np.asarray(reduced)), strict=True):
            kinds[kind].append(embedder.embed(made.astype(np.uint8))[0])
    print(f"{name}: {len(labels)} images, {len(set(labels))} classes")
    reference = np.stack(kinds["exact"])
    for kind, rows in kinds.items():
        vectors = np.stack(rows)
        found, cosines = leave_one_out(vectors, labels), (vectors * reference).sum(axis=1)
        print(
            f"  {kind:8}  P@1 {found.precision_at_1:.4f}  mAP {found.mean_average_precision:.4f}"
            f"  cosine mean {cosines.mean():.4f}, least {cosines.min():.4f}",
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
    parser.add_argument("--model", default=f"{bundled_model()}={DEFAULT_MODEL}")
    options = parser.parse_args(arguments)
    path, _, profile = options.model.partition("=")
    model, exact = Path(path), PreprocessingProfile.named(profile)
    photos = sorted(path for path in options.folder.glob("*/*") if path.is_file())
    compare("originals", as_they_are(photos), model, exact)
    compare("collages", collages(photos), model, exact)
    if options.large:
        found = (path for path in sorted(options.large.rglob("*.jpg")) if not path.is_symlink())
        large = [path for path in found if min(Image.open(path).size) >= LEAST]
        compare("views", views(large), model, exact)


if __name__ == "__main__":
    main()
