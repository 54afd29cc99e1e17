"""What each way to better answers adds, from the same weights, on labelled images.

    python -m benchmarks.better_answers FOLDER... [--latency 10000]

Each FOLDER holds a folder of images per class. Every image is searched for among all others
(leave one out), with the vectors of both bundled models. The table is that of `evaluate`: means
with 95 % intervals, and against the plain search the paired difference of the mean average
precision. The latency is that of a search by image for ten hits in a local store of that many
random vectors, in milliseconds and compared with the plain search; the query is embedded anew
each time, and the settings take turns.

`benchmarks.labelled_sets` makes folders of two packages of Debian: `dataset-fashion-mnist` (clothes
in grey) and `tuxpaint-stamps-default` (photographs and drawings of animals and things).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onnxsearch import (
    AlphaQE,
    Embedder,
    Evaluation,
    ImageInput,
    InMemoryMetadataStore,
    Item,
    LocalVectorStore,
    OnnxEmbedder,
    Record,
    Rerank,
    SearchEngine,
    Tensor,
)

FIRST, SECOND = "efficientnet-lite2", "efficientnet-lite0"
BOTH = [FIRST, SECOND]

SETTINGS: Mapping[str, dict[str, Any]] = {
    "plain": {"models": [FIRST]},
    "expand": {"models": [FIRST], "expand": AlphaQE()},
    "rerank": {"models": [FIRST], "rerank": Rerank.by_model(SECOND)},
    "augmented": {"models": [FIRST], "augmented": True},
    "augmented, expand": {"models": [FIRST], "augmented": True, "expand": AlphaQE()},
    "fused": {"models": BOTH, "fusion": "scores"},
    "fused, augmented": {"models": BOTH, "augmented": True, "fusion": "scores"},
    "everything": {"models": BOTH, "augmented": True, "fusion": "scores", "expand": AlphaQE()},
}
"""Arguments of `search`. Reranking is left out of everything: alone it brings nothing."""

RUNS = 15
LIMIT = 10


def label(record: Record) -> str:
    return Path(record.uri or "").parent.name


def evaluated(engine: SearchEngine) -> tuple[Evaluation, dict[str, str]]:
    """Return the evaluation of all settings, and the name of each in it."""
    found: dict[str, Evaluation] = {}
    names: dict[str, str] = {}
    for title, setting in SETTINGS.items():
        given = dict(setting)
        suffix = ":augmented" if given.pop("augmented", False) else ""
        models = [f"{name}{suffix}" for name in given.pop("models")]
        found[title] = engine.evaluate(label, models=models, k=(1, 20), **given)
        names[title] = title if len(models) == 1 else f"{title}/{'+'.join(models)}"
    return Evaluation.side_by_side(found), names


def quality(folder: Path, alpha: float) -> None:
    """Print the table of one set."""
    with tempfile.TemporaryDirectory() as place:
        models = [OnnxEmbedder.bundled(name) for name in BOTH]
        with SearchEngine.open(place, embedders=models) as engine:
            engine.index(folder)
            for name in BOTH:
                engine.augment(name, alpha=alpha)
            evaluation, names = evaluated(engine)
    print(f"\n{folder.name}: {evaluation.queries} queries among {evaluation.pictures} images")
    print(f"{'setting':18} {'P@1':19} {'P@20':19} {'mAP':19}  mAP against plain; P@1")
    for title, name in names.items():
        scores = evaluation.scores[name]
        columns = (scores.precision[1], scores.precision[20], scores.mean_average_precision)
        first = evaluation.compare(name, names["plain"], metric="precision@1")
        gain = evaluation.compare(name, names["plain"]).difference
        print(
            f"{title:18} {' '.join(f'{each!s:19}' for each in columns)}  {gain.value:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}); {first.difference.value:+.3f}",
            flush=True,
        )


def latency(images: int, query: Path) -> None:
    """Print the time of a search with each setting in a store of random images."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        models = [OnnxEmbedder.bundled(name) for name in BOTH]
        vectors, records = LocalVectorStore(f"{place}/vectors.sqlite"), InMemoryMetadataStore()
        fakes = [RandomVectors(model, random) for model in models]
        with SearchEngine(fakes, vectors, records) as engine:
            engine.add_many(Item(Image.new("RGB", (1, 1)), id=f"{n}") for n in range(images))
            for name in BOTH:
                engine.augment(name)
        with SearchEngine(models, vectors, records) as engine:
            times: dict[str, list[float]] = {title: [] for title in SETTINGS}
            for run in range(RUNS + 1):
                for title, setting in SETTINGS.items():
                    started = time.perf_counter()
                    engine.search(query, limit=LIMIT, **setting)
                    if run:  # the first run opens files and fills caches
                        times[title].append(time.perf_counter() - started)
    plain = statistics.median(times["plain"])
    print(f"\na search by image among {images:,} images, median of {RUNS} in turns")
    for title, each in times.items():
        median = statistics.median(each)
        print(f"{title:18} {1000 * median:8.1f} ms  {median / plain:5.2f} x plain", flush=True)


class RandomVectors(Embedder):
    """Gives images random vectors, in the space of a model: no model has to run."""

    def __init__(self, model: Embedder, random: np.random.Generator) -> None:
        self._model = model
        self._random = random

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def fingerprint(self) -> str:
        return self._model.fingerprint

    def prepare(self, image: ImageInput) -> Tensor:
        return np.zeros(1, np.float32)

    def run(self, batch: Tensor) -> Tensor:
        return np.abs(self._random.normal(size=(len(batch), self.dimension))).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.better_answers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--alpha", type=float, default=3.0, help="alpha of augment")
    parser.add_argument("--latency", type=int, metavar="IMAGES", help="also measure the latency")
    parser.add_argument("--query", type=Path, help="the image that is searched for")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        quality(folder, options.alpha)
    if options.latency:
        query = options.query or min(Path("examples/queries").glob("*.jpg"))
        latency(options.latency, query)


if __name__ == "__main__":
    main()
