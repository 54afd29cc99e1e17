"""Trustworthiness, time and page size of maps.

python -m benchmarks.album_map IMAGES [--rows N] [--location DIR]

IMAGES is a folder of photographs; it is indexed at --location with the default model. --rows
vectors are then made of theirs: a random one, plus a quarter of another random one, plus noise of
length 0.3, to unit length. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from sklearn.manifold import trustworthiness

from onnxsearch import SearchEngine, Vectors
from onnxsearch.album_map.clusters import clusters
from onnxsearch.album_map.geometry import Projection
from onnxsearch.album_map.layout import NEIGHBOURS, layout
from onnxsearch.album_map.neighbours import neighbours

_Result = TypeVar("_Result")


def timed(name: str, function: Callable[[], _Result]) -> _Result:
    cpu, wall = time.process_time(), time.perf_counter()
    result = function()
    print(
        f"{name:28} {time.perf_counter() - wall:7.1f} s, CPU {time.process_time() - cpu:7.1f} s",
        flush=True,
    )
    return result


def perturbed(vectors: Vectors, rows: int) -> Vectors:
    random = np.random.default_rng(0)
    made = np.empty((rows, vectors.shape[1]), np.float32)
    for start in range(0, rows, 1000):
        size = min(1000, rows - start)
        one, other = (vectors[random.integers(0, len(vectors), size)] for _ in range(2))
        noise = random.normal(0, 0.3 / np.sqrt(vectors.shape[1]), one.shape)
        made[start : start + size] = one + 0.25 * other + noise
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--location", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        location = given.location or Path(folder, "index")
        with SearchEngine.open(location) as engine:
            engine.index(given.images, progress=True)
            album = timed(f"map of {len(engine):,} images", engine.map)
            page = timed("page", lambda: album.to_html(Path(folder, "map.html")))
            print(f"page: {page.stat().st_size / 1e6:.1f} MB, {len(album.labels)} clusters")
            vectors = engine.vectors(album.ids).astype(np.float32)
    plane = Projection(vectors, 2)(vectors)
    for name, places in (("principal components", plane), ("map", album.xy)):
        print(f"trustworthiness@10, {name}: {trustworthiness(vectors, places, n_neighbors=10):.3f}")
    many = perturbed(vectors, given.rows)
    near = timed(f"neighbours of {given.rows:,}", lambda: neighbours(many, NEIGHBOURS))
    places = timed(f"layout of {given.rows:,}", lambda: layout(many, near, 0))
    timed(f"clusters of {given.rows:,}", lambda: clusters(places))


if __name__ == "__main__":
    main()
