"""Running `index` again: over unchanged files, and over files that were all renamed.

python -m benchmarks.rerun [--files N] [--folder FOLDER]

The files are tiny images, each unlike the others, in folders of a thousand. The embedder
computes next to nothing, so that the time is that of finding out what has changed. Every
folder is then renamed, which gives each of its files another path. Neither run may embed
an image.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.timing import table
from onnxsearch import Embedder, ImageInput, SearchEngine, Tensor

IN_A_FOLDER = 1000


class Thumbnail(Embedder):
    """The pixels of a tiny image as its vector; counts the images that it embeds."""

    name, dimension, fingerprint = "thumbnail", 48, "4 x 4 pixels"

    def __init__(self) -> None:
        self.embedded = 0

    def prepare(self, image: ImageInput) -> Tensor:
        return np.asarray(image, np.float32).reshape(48) + 1.0

    def run(self, batch: Tensor) -> Tensor:
        self.embedded += len(batch)
        return batch


def write_files(folder: Path, files: int) -> None:
    random = np.random.default_rng(0)
    for start in range(0, files, IN_A_FOLDER):
        below = folder / f"{start // IN_A_FOLDER:04}"
        below.mkdir(parents=True)
        for number in range(start, min(start + IN_A_FOLDER, files)):
            pixels = random.integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(pixels).save(below / f"{number:07}.bmp")


def run(engine: SearchEngine, embedder: Thumbnail, folder: Path) -> str:
    embedder.embedded = 0
    started, worked = time.perf_counter(), time.process_time()
    report = engine.index(folder)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    counts = ", ".join(f"{number:,} {status}" for status, number in report.counts.items() if number)
    return f"{seconds:7.1f} s, CPU {cpu:6.1f} s, {embedder.embedded:,} embedded: {counts}"


def measure(folder: Path, files: int) -> dict[str, str]:
    """Return a line for each run."""
    photos, embedder = folder / "photos", Thumbnail()
    write_files(photos, files)
    with SearchEngine.open(folder / "index", embedders=embedder) as engine:
        lines = {"first": run(engine, embedder, photos)}
    with SearchEngine.open(folder / "index", embedders=embedder) as engine:
        lines["unchanged"] = run(engine, embedder, photos)
        for path in sorted(photos.iterdir()):
            path.rename(path.with_name(f"renamed {path.name}"))
        lines["renamed"] = run(engine, embedder, photos)
        lines["unchanged again"] = run(engine, embedder, photos)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerun", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where the files are written, and deleted")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        print(table(f"index, {given.files:,} files", measure(folder, given.files)), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
