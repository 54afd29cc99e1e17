"""Time of each step of a search, and of importing the package.

python -m benchmarks.latency [--images N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.photos import write_photos
from benchmarks.timing import best_of, table
from onnxsearch import (
    CollectionSpec,
    LocalVectorStore,
    OnnxEmbedder,
    SearchEngine,
    SQLiteMetadataStore,
)
from onnxsearch.catalog.catalog import Catalog, NewImage
from onnxsearch.images.reading import open_image
from onnxsearch.types import Record


def fill(catalog: Catalog, model: str, images: int, dimension: int) -> None:
    """Store as many random unit vectors."""
    random = np.random.default_rng(0)
    for start in range(0, images, 500):
        vectors = random.normal(size=(500, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        catalog.put(
            NewImage(Record(f"{start + row}", models=(model,)), {model: vector})
            for row, vector in enumerate(vectors)
        )


def search(images: int, rounds: int) -> str:
    embedder = OnnxEmbedder.bundled()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (photo,) = write_photos(folder, 1)
        with (
            LocalVectorStore(folder / "vectors.sqlite") as vectors,
            SQLiteMetadataStore(folder / "records.sqlite") as metadata,
        ):
            engine = SearchEngine(embedder, vectors, metadata)
            catalog = Catalog(vectors, metadata, "onnxsearch")
            fill(catalog, embedder.name, images, embedder.dimension)
            collection = catalog.collection(embedder.name)
            assert vectors.describe(collection) == CollectionSpec(
                collection, embedder.dimension, embedder.fingerprint, embedder.metric
            )
            image = open_image(photo)
            tensor = embedder.prepare(image)
            query = embedder.embed_tensors([tensor])
            keys = [match.key for match in vectors.search(collection, query, 10)[0]]
            seconds = best_of(
                {
                    "decode": lambda: open_image(photo),
                    "prepare": lambda: embedder.prepare(image),
                    "run the model": lambda: embedder.embed_tensors([tensor]),
                    "search vectors": lambda: vectors.search(collection, query, 10),
                    "read records": lambda: catalog.records.resolve(keys),
                    "engine.search, all of it": lambda: engine.search(photo, limit=10),
                },
                rounds,
            )
    rows = {name: f"{1000 * value:7.2f} ms" for name, value in seconds.items()}
    return table(f"one search among {images} images, {embedder.name}", rows)


def imports() -> str:
    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    seconds = best_of(
        {
            "python alone": lambda: python("pass"),
            "import onnxsearch": lambda: python("import onnxsearch"),
            "import numpy": lambda: python("import numpy"),
            "import onnxruntime": lambda: python("import onnxruntime"),
            "import pymilvus": lambda: python("import pymilvus"),
        },
        5,
    )
    bare = seconds.pop("python alone")
    rows = {name: f"{1000 * (value - bare):7.1f} ms" for name, value in seconds.items()}
    return table("import time, python's own start taken off", rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    print(search(options.images, options.rounds), flush=True)
    print(imports())


if __name__ == "__main__":
    main()
