"""Folders of labelled images out of two packages of Debian, for `benchmarks.better_answers`.

    apt-get install dataset-fashion-mnist tuxpaint-stamps-default
    python -m benchmarks.labelled_sets FOLDER

FOLDER/fashion gets the first 150 photographs of each of the ten kinds of clothes in the test set of
Fashion-MNIST: grey, 28 x 28 pixels, enlarged to 112 x 112. FOLDER/stamps gets the stamps of Tux
Paint, photographs and drawings on a transparent ground, by the folders that they are in: those of
two levels with five stamps at least, without letters and signs (`symbols`), drawings among the
photographs.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)
PER_KIND = 150
LEAST_STAMPS = 5


def write_fashion(files: Path, target: Path) -> None:
    """Write photographs of clothes, a folder for each kind."""
    pixels = _idx(files, "t10k-images", 16).reshape(-1, 28, 28)
    kinds = _idx(files, "t10k-labels", 8)
    for number, kind in enumerate(KINDS):
        folder = target / kind
        folder.mkdir(parents=True, exist_ok=True)
        for place in np.flatnonzero(kinds == number)[:PER_KIND]:
            photo = Image.fromarray(pixels[place]).resize((112, 112), Image.Resampling.BICUBIC)
            photo.save(folder / f"{place}.png")


def _idx(files: Path, name: str, header: int) -> np.ndarray:
    """Return the bytes of a file of the format IDX behind its header."""
    (path,) = files.rglob(f"{name}*")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=header)


def write_stamps(stamps: Path, target: Path) -> None:
    """Copy stamps, a folder for each kind."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(stamps.rglob("*.png")):
        parts = [part for part in path.relative_to(stamps).parts[:-1] if part != "cartoon"]
        if parts[0] != "symbols":
            kinds["_".join(parts[:2])].append(path)
    for kind, paths in kinds.items():
        if len(paths) >= LEAST_STAMPS:
            folder = target / kind
            folder.mkdir(parents=True, exist_ok=True)
            for path in paths:
                shutil.copy(path, folder / "-".join(path.relative_to(stamps).parts))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labelled_sets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, default=Path("/usr/share"))
    options = parser.parse_args(arguments)
    write_fashion(options.packages / "datasets" / "fashion-mnist", options.folder / "fashion")
    write_stamps(options.packages / "tuxpaint" / "stamps", options.folder / "stamps")


if __name__ == "__main__":
    main()
