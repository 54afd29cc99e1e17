"""Several models side by side: quality of each and of their fusion, and cost of decoding once.

    python -m benchmarks.several_models quality FOLDER MODEL.onnx[=PROFILE] ...
    python -m benchmarks.several_models decoding PHOTO MODEL.onnx[=PROFILE] ...

`quality` expects a folder of photographs per class in FOLDER. Every photograph is searched
for among all others; photographs of its own class are right answers. The scores of
`SearchEngine.evaluate` are printed for every model, for all fused, and for the best two
fused, with 95 % intervals. An index is kept in --location, so that a second run is quick.

`decoding` indexes copies of PHOTO with all models at once, and measures the parts alone:
decoding, and for each model preparation and inference. With one worker, indexing should
cost no more than the preparation and inference of all models and 1.1 times one decoding.
The parts run in turn in several rounds, so that a busy machine disturbs them alike. Each
time is the best of the rounds; the ratio is their median, with the lowest and highest.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from onnxsearch import (
    Embedder,
    Evaluation,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    SearchEngine,
)
from onnxsearch.embedders.bundled import bundled_models
from onnxsearch.images.reading import open_image

BATCH = 4


def load(model: str) -> Embedder:
    path, _, profile = model.partition("=")
    if path in bundled_models():
        return OnnxEmbedder.bundled(path)
    return OnnxEmbedder(path, profile=profile or None)


def quality(folder: Path, embedders: Sequence[Embedder], location: Path) -> None:
    with SearchEngine.open(location, embedders=embedders) as engine:
        print(engine.index(folder, progress=True))

        def judge(models: Sequence[str] | None = None) -> Evaluation:
            return engine.evaluate(
                lambda record: Path(record.id).parent.name, models=models, k=(1, 5)
            )

        everything = judge()
        show(everything)
        best = sorted(
            engine.models, key=lambda name: -everything.scores[name].mean_average_precision.value
        )[:2]
        two = judge(best)
        show(two)
        better = max(two.scores[name].mean_average_precision.value for name in best)
        fused = two.scores["+".join(best)].mean_average_precision.value
        print(f"the best two fused: mAP {fused:.4f}, the better one alone: {better:.4f}")


def show(evaluation: Evaluation) -> None:
    print(f"\n{evaluation.queries} queries among {evaluation.pictures} photographs")
    print(f"{'model':58} {'P@1':19} {'P@5':19} {'mAP':19}")
    for name, scores in evaluation.scores.items():
        print(
            f"{name:58} {scores.precision[1]!s:19} {scores.precision[5]!s:19} "
            f"{scores.mean_average_precision!s:19}"
        )


def decoding(photo: Path, embedders: Sequence[Embedder], count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.jpg") for number in range(count)]
        for number, path in enumerate(paths):
            shutil.copy(photo, path)
            with path.open("ab") as file:
                file.write(number.to_bytes(4, "big"))  # else all but one are duplicates
        images = [open_image(path) for path in paths]
        views = [embedder.parallel(1) for embedder in embedders]

        def index() -> None:
            engine = SearchEngine(
                embedders, InMemoryVectorStore(), InMemoryMetadataStore(), workers=1
            )
            assert engine.index(paths).counts["indexed"] == count

        parts: dict[str, Callable[[], object]] = {
            "index": index,
            "decode": lambda: [open_image(path) for path in paths],
        }
        for view in views:
            parts[view.name] = lambda view=view: view.embed(images, batch_size=BATCH)
        seconds: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(rounds):
            for name, run in parts.items():
                started = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - started)
    best = {name: min(taken) / count * 1000 for name, taken in seconds.items()}
    for name, each in best.items():
        print(f"{name:30} {each:8.2f} ms per image")
    # A long run finds a quiet moment less often than a short one: compare within a round.
    ratios = sorted(
        seconds["index"][n]
        / (sum(seconds[view.name][n] for view in views) + 1.1 * seconds["decode"][n])
        for n in range(rounds)
    )
    print(
        f"index / (inferences + 1.1 decodes): {median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f})"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.several_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["quality", "decoding"])
    parser.add_argument("source", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL.onnx[=PROFILE]")
    parser.add_argument("--location", type=Path, default=Path(".onnxsearch/several-models"))
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    embedders = [load(model) for model in options.models or bundled_models()]
    if options.what == "quality":
        quality(options.source, embedders, options.location)
    else:
        decoding(options.source, embedders, options.images, options.rounds)


if __name__ == "__main__":
    main()
