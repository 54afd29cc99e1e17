"""What each way to better answers adds, from the same weights, on labelled images.

    python -m benchmarks.better_answers FOLDER... [--latency 10000]

Each FOLDER holds a folder of images per class. Every image is searched for among all others
(leave one out), with the vectors of both bundled models. The table is that of `evaluate`: means
with 95 % intervals, and against the plain search the paired difference of the mean average
precision. The latency is that of a search for ten hits in an index of that many vectors like those
of photos (`benchmarks.local_store`), by the clock and in time of the processor, and compared with
the plain search: first by an image, which is embedded anew each time, and then by the ids of stored
ones, for which no model runs. The settings take turns.

`benchmarks.labelled_sets` makes folders of two packages of Debian: `dataset-fashion-mnist` (clothes
in grey) and `tuxpaint-stamps-default` (photographs and drawings of animals and things).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.local_store import BATCH, like_photos
from benchmarks.timing import Seconds
from onnxsearch import (
    AlphaQE,
    Embedder,
    Evaluation,
    ImageInput,
    Item,
    OnnxEmbedder,
    Query,
    Record,
    Rerank,
    SearchEngine,
    Tensor,
)
from onnxsearch.images.reading import open_image

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

LATENCIES: Mapping[str, dict[str, Any]] = {
    **SETTINGS,
    "expand, rerank": {**SETTINGS["expand"], **SETTINGS["rerank"]},
}
"""Settings whose latency is measured."""

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
    """Print the time of a search with each setting in an index of images like photos."""
    with tempfile.TemporaryDirectory() as place:
        models = [OnnxEmbedder.bundled(name) for name in BOTH]
        fakes = [LikePhotos(model, seed) for seed, model in enumerate(models, 1)]
        with SearchEngine.open(place, embedders=fakes) as engine:
            engine.add_many(Item(numbered(n), id=f"{n}") for n in range(images))
            for name in BOTH:
                engine.augment(name)
        with SearchEngine.open(place, embedders=models) as engine:
            ids = [Query.id(f"{997 * run % images}") for run in range(RUNS + 1)]
            report("an image", search_times(engine, [query] * (RUNS + 1)))
            report("its id", search_times(engine, ids))


def search_times(
    engine: SearchEngine, queries: Sequence[Path | Query]
) -> Mapping[str, Sequence[Seconds]]:
    """Return what a search for each query but the first took, by setting."""
    found: dict[str, list[Seconds]] = {title: [] for title in LATENCIES}
    for run, query in enumerate(queries):
        for title, setting in LATENCIES.items():
            given = as_searched(setting)
            wall, cpu = time.perf_counter(), time.process_time()
            engine.search(query, limit=LIMIT, **given)
            if run:  # the first run opens files and fills caches
                took = time.perf_counter() - wall, time.process_time() - cpu
                found[title].append(Seconds(*took))
    return found


def as_searched(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting with its single model named as such: there is nothing to fuse."""
    given = dict(setting)
    if len(given["models"]) == 1:
        (given["model"],) = given.pop("models")
    return given


def report(kind: str, times: Mapping[str, Sequence[Seconds]]) -> None:
    """Print the time of a search by one kind of query with each setting."""
    print(f"\na search by {kind}, median of {RUNS} in turns")
    walls = {title: statistics.median(each.wall for each in took) for title, took in times.items()}
    cpus = {title: statistics.median(each.cpu for each in took) for title, took in times.items()}
    for title, wall in walls.items():
        print(
            f"{title:18} {1000 * wall:8.1f} ms  {wall / walls['plain']:5.2f} x plain, "
            f"CPU {1000 * cpus[title]:8.1f} ms  {cpus[title] / cpus['plain']:5.2f} x plain",
            flush=True,
        )


def numbered(number: int) -> Image.Image:
    """Return an image of one pixel, whose colour is a number."""
    return Image.new("RGB", (1, 1), tuple(number.to_bytes(3, "big")))


class LikePhotos(Embedder):
    """Gives numbered images vectors like those of photos, in the space of a model.

    No model has to run. An image is in the same group for every seed.
    """

    def __init__(self, model: Embedder, seed: int) -> None:
        self._model = model
        self._rows = cache(partial(like_photos, seed, rows=BATCH, dimension=model.dimension))

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
        return np.array(open_image(image).getpixel((0, 0)))

    def run(self, batch: Tensor) -> Tensor:
        numbers = [int.from_bytes(bytes(pixel)) for pixel in batch.tolist()]
        return np.stack([self._rows(number // BATCH)[number % BATCH] for number in numbers])


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
