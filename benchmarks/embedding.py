"""Images a second, from files to stored vectors, beside others that embed.

    python -m benchmarks --only photos phones article torch

Of the rivals, only the time of what they do with files is counted, and not that of their
start: each runs a few files and many, and the difference counts. Ours counts from the call of
`index` to the vectors and records on disk; fastembed and those that need PyTorch store nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.photos import write_large_photos, write_photos
from benchmarks.results import Result
from benchmarks.rivals import NotHereError, rival
from benchmarks.throughput import RESNET50, inference
from onnxsearch import OnnxEmbedder, SearchEngine
from onnxsearch._internal.cpu import available_cores
from onnxsearch.embedders.bundled import bundled_model

OURS = "onnxsearch, index to disk"
START = 16
"""Files that are embedded before the clock of a rival runs."""


def compare(
    table: str,
    embedder: OnnxEmbedder,
    model: Path,
    write: Callable[[Path, int], Sequence[Path]],
    photos: int,
    rounds: int,
    rivals: dict[str, int],
    *,
    floor: bool = True,
) -> list[Result]:
    """Measure ours, the floor and rivals by turns.

    Args:
        table: Title of the results.
        embedder: Ours.
        model: Its file, for rivals that run it.
        write: Writes the files.
        photos: Number of files.
        rounds: Number of turns, of which the median counts.
        rivals: For each rival the number of files that it gets, after `START` others.
        floor: Measure the least that the steps of ours take alone.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        paths = write(folder, photos + START)
        some = paths[:photos]
        ways = {OURS: Way(photos, partial(_index, embedder, folder, some))}
        if floor:
            alone = inference(model, embedder, some).values()
            ways["the floor"] = Way(photos, partial(_floor, embedder, [*alone], some))
        absent: list[Result] = []
        for rival_name, count in rivals.items():
            try:
                run = stack.enter_context(rival(rival_name, model, folder))
                run(2)
                ways[rival_name] = Way(count, partial(run, START + count), partial(run, START))
            except NotHereError as error:
                absent.append(Result(table, rival_name, note=str(error)))
        with SearchEngine.open(folder / "warm", embedders=embedder) as engine:
            engine.index(some[:8])
        for _ in range(rounds):
            for name, way in ways.items():
                way.take_turn()
                print(f"{table}: {name}, {way.spent[-1]:.1f} s", file=sys.stderr, flush=True)
    return [Result(table, way, found.rate) for way, found in ways.items()] + absent


@dataclass
class Way:
    """A way to embed `count` files."""

    count: int
    run: Callable[[], float]
    """Returns the seconds that it took."""
    start: Callable[[], float] | None = None
    """Returns the seconds that do not count."""
    spent: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)

    def take_turn(self) -> None:
        self.spent.append(self.run())
        self.started.append(self.start() if self.start else 0.0)

    @property
    def rate(self) -> float:
        """Files a second."""
        return self.count / max(median(self.spent) - median(self.started), 1e-9)


def _index(embedder: OnnxEmbedder, folder: Path, paths: Sequence[Path]) -> float:
    place = tempfile.mkdtemp(dir=folder)
    with SearchEngine.open(place, embedders=embedder) as engine:
        return seconds_of(partial(engine.index, paths))


def _floor(
    embedder: OnnxEmbedder, alone: Sequence[Callable[[], object]], paths: Sequence[Path]
) -> float:
    """Return the seconds of inference alone, the fastest way, and decoding shared by all cores."""
    preparing = seconds_of(lambda: [embedder.prepare(path) for path in paths])
    return preparing / available_cores() + min(map(seconds_of, alone))


def seconds_of(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def photos(quick: bool) -> list[Result]:
    count = 320 if quick else 480
    embedder = OnnxEmbedder.bundled()
    rivals = dict.fromkeys(("fastembed, threads", "fastembed, processes"), count)
    return compare(
        "640 x 480 JPEGs, the default model", embedder, bundled_model(), write_photos, count,
        3 if quick else 7, rivals,
    )  # fmt: skip


def phones(quick: bool) -> list[Result]:
    count = 32 if quick else 96
    rivals = dict.fromkeys(("fastembed, threads", "fastembed, processes"), count)
    return compare(
        "12-megapixel JPEGs, the default model", OnnxEmbedder.bundled(), bundled_model(),
        write_large_photos, count, 3 if quick else 5, rivals,
    )  # fmt: skip


def article(quick: bool) -> list[Result]:
    """The article's script with the default model, whose session is made in no time."""
    return _article("the default model", OnnxEmbedder.bundled(), bundled_model(), quick)


def article_resnet50(quick: bool) -> list[Result]:
    """The article's script with its own model, ResNet50 in float32."""
    if not RESNET50.exists():
        absent = "ResNet50 is not here: nox -s export makes it"
        return [Result("The article's script with ResNet50", OURS, note=absent)]
    resnet = OnnxEmbedder(RESNET50, profile="keras-caffe")
    return _article("ResNet50", resnet, RESNET50, quick)


def _article(name: str, embedder: OnnxEmbedder, model: Path, quick: bool) -> list[Result]:
    script = {"the article's script": 8 if quick else 24}
    return compare(
        f"The article's script with {name}", embedder, model, write_photos,
        48 if quick else 128, 2 if quick else 3, script,
    )  # fmt: skip


def torch(quick: bool) -> list[Result]:
    """Rivals that run other models: their figures show what a user of theirs waits for."""
    rivals = dict.fromkeys(
        ("sentence-transformers, CLIP ViT-B/32", "DeepImageSearch, ResNet50"), 16 if quick else 64
    )
    return compare(
        "Others with their own models, random weights", OnnxEmbedder.bundled(), bundled_model(),
        write_photos, 96 if quick else 192, 2 if quick else 3, rivals, floor=False,
    )  # fmt: skip
