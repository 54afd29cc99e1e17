"""What augmented vectors find, and what they cost.

    python -m benchmarks.augmentation quality FOLDER [MODEL ...]
    python -m benchmarks.augmentation cost LOCATION [--rows N] [--image FILE]

`quality` takes a folder of photographs per class, and evaluates (leave one out, the photograph
searched for by its id) each model, its augmented vectors, and the fusions of several. MODEL is a
bundled model or an ONNX file with a profile; by default the default model.

`cost` fills an index at LOCATION with vectors like those of photos (`benchmarks.local_store`),
unless it is filled, and reports how long `augment` takes for all of them and for a hundredth that
came later, and how long an augmented search takes beside a plain one: with an image file, and with
a vector, so that the stores alone count. Both kinds take turns; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.local_store import BATCH, like_photos
from onnxsearch import (
    CollectionSpec,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    ModelDescription,
    NewImage,
    OnnxEmbedder,
    Record,
    SearchEngine,
)

_LATER = 100
"""One of so many images comes later."""
_TURNS = 40


class LikePhotos:
    """A source of images that have vectors like those of photos, and no bytes."""

    def __init__(self, embedder: OnnxEmbedder, rows: int, first: int = 0) -> None:
        self._embedder, self._rows, self._first = embedder, rows, first

    def count(self) -> int:
        return self._rows

    def models(self) -> set[str]:
        return {self._embedder.name}

    def space(self, model: str) -> CollectionSpec:
        embedder = self._embedder
        return CollectionSpec("any", embedder.dimension, embedder.fingerprint, embedder.metric)

    def descriptions(self) -> Sequence[ModelDescription]:
        return ()

    def root(self) -> str | None:
        return None

    def batches(self) -> Iterator[list[NewImage]]:
        for start in range(0, self._rows, BATCH):
            number = (self._first + start) // BATCH
            vectors = like_photos(1, number, BATCH, self._embedder.dimension)
            images = [
                NewImage(
                    Record(f"{number} {n}", None, {}, (self._embedder.name,)),
                    {self._embedder.name: row},
                )
                for n, row in enumerate(vectors[: self._rows - start])
            ]
            yield from (images[n : n + 250] for n in range(0, len(images), 250))


def quality(folder: Path, models: Sequence[str]) -> None:
    embedders = [
        OnnxEmbedder(name) if Path(name).exists() else OnnxEmbedder.bundled(name) for name in models
    ] or [OnnxEmbedder.bundled()]
    with SearchEngine(embedders, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.index(folder, progress=True)
        labels = {record.id: Path(record.id).parent.name for record in engine.records()}
        for embedder in embedders:
            print(engine.augment(embedder.name))
        plain = [embedder.name for embedder in embedders]
        augmented = [f"{name}:augmented" for name in plain]
        print(engine.evaluate(labels, models=plain + augmented, k=(1, 20)))
        if len(plain) > 1:
            print(engine.evaluate(labels, models=plain, k=(1, 20)))
            print(engine.evaluate(labels, models=augmented, k=(1, 20)))


def cost(location: Path, rows: int, image: Path | None) -> None:
    embedder = OnnxEmbedder.bundled()
    later = rows // _LATER
    with SearchEngine.open(location, embedders=embedder) as engine:
        if not engine.count():
            engine.copy_from(LikePhotos(embedder, rows), progress=True)
        if engine.info().augmented:
            engine.drop_model(f"{embedder.name}:augmented")
        print(engine.augment())
        print(engine.augment())
        if image is not None:
            _compare("search by an image file", engine, lambda: image)
        ids = [f"{number % (rows // BATCH)} {number % BATCH}" for number in range(_TURNS)]
        _stores(engine, embedder, ids)
        started = time.perf_counter()
        engine.copy_from(LikePhotos(embedder, later, first=rows))
        print(f"stored {later} further images in {time.perf_counter() - started:.1f} s")
        print(engine.augment())


def _compare(title: str, engine: SearchEngine, query: Callable[[], Path]) -> None:
    _report(
        title,
        lambda: engine.search(query(), limit=10),
        lambda: engine.search(query(), limit=10, augmented=True),
    )


def _stores(engine: SearchEngine, embedder: OnnxEmbedder, ids: Sequence[str]) -> None:
    """Compare searches by vectors that were embedded before, so that the stores alone count."""
    rows = iter(np.repeat(engine.vectors(ids), 4, axis=0))
    known: dict[str, np.ndarray] = {}

    def embedded(tensors: Sequence[np.ndarray]) -> np.ndarray:
        return known["row"][np.newaxis]

    embedder.embed_tensors = embedded  # type: ignore[method-assign]
    picture = np.zeros((260, 260, 3), np.uint8)

    def search(augmented: bool) -> None:
        known["row"] = next(rows)
        engine.search(picture, limit=10, augmented=augmented)

    _report("search by a vector", lambda: search(False), lambda: search(True))


def _report(title: str, plain: Callable[[], object], augmented: Callable[[], object]) -> None:
    seconds: dict[str, list[float]] = {"plain": [], "augmented": []}
    for _ in range(_TURNS):
        for name, search in (("plain", plain), ("augmented", augmented)):
            started = time.perf_counter()
            search()
            seconds[name].append(time.perf_counter() - started)
    first, second = (statistics.median(each) * 1e3 for each in seconds.values())
    print(f"{title}: plain {first:.2f} ms, augmented {second:.2f} ms, ratio {second / first:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("quality")
    command.add_argument("folder", type=Path)
    command.add_argument("models", nargs="*")
    command = commands.add_parser("cost")
    command.add_argument("location", type=Path)
    command.add_argument("--rows", type=int, default=100_000)
    command.add_argument("--image", type=Path)
    options = parser.parse_args()
    if options.command == "quality":
        quality(options.folder, options.models)
    else:
        cost(options.location, options.rows, options.image)


if __name__ == "__main__":
    main()
