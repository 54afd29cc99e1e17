"""Speed of indexing folders, beside the best that the machine can do.

    python -m benchmarks.throughput [MODEL.onnx=PROFILE ...] [--size 4000x3000]

The floor is the inference alone, in the fastest of several arrangements, plus
decoding and preprocessing alone shared by all cores. An index run also reads files,
hashes them, and writes vectors and records to the disk; its share of the floor shows the
cost of these. `add_many` stores the same images from memory, and `embed` stores nothing. For
comparison, the script of the article that started this project is measured too: one image after
the other, a new session for each. So is fastembed, if `--fastembed` names a Python that has it.

Shares are given twice: by the clock, and in CPU time, which other processes hardly disturb.

Without MODEL the default model is measured, and ResNet50 in float32 where
`nox -s export` has made it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.photos import write_photos
from benchmarks.timing import Seconds, best_times, table
from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    LocalVectorStore,
    OnnxEmbedder,
    SearchEngine,
    SQLiteMetadataStore,
)
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.threads import batched
from onnxsearch.embedders.bundled import bundled_model
from onnxsearch.images.preprocessing.steps import lookup_table

RESNET50 = Path(__file__).resolve().parents[1] / "build/models/resnet50-keras-random.onnx"
BATCH = 4
PREPARATION = "decoding and preprocessing, one thread"


def session_of(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inference(
    model: Path, embedder: OnnxEmbedder, paths: Sequence[Path]
) -> dict[str, Callable[[], object]]:
    """Return the arrangements in which inference alone may be fastest."""
    cores = available_cores()
    tensors = [embedder.prepare(path) for path in paths]
    batches = [np.stack(batch) for batch in batched(tensors, BATCH)]
    narrow, wide = session_of(model, 1), session_of(model, cores)
    name, output = embedder.input.name, [embedder.output]

    def serial() -> None:
        for batch in batches:
            wide.run(output, {name: batch})

    def threads() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(lambda batch: narrow.run(output, {name: batch}), batches))

    return {
        f"inference, one session of {cores} threads": serial,
        f"inference, {cores} threads on one session": threads,
    }


def article(model: Path, embedder: OnnxEmbedder, paths: Sequence[Path]) -> None:
    """Embed as the article's script does; its stores are left out, which is kind to it."""
    for path in paths:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        output = session.run([embedder.output], {embedder.input.name: embedder.prepare(path)[None]})
        np.linalg.norm(output[0])


@contextmanager
def fastembed(
    python: str, model: Path, embedder: OnnxEmbedder, photos: Path
) -> Iterator[dict[str, Callable[[], object]]]:
    """Yield fastembed's two ways to embed `photos`, with the same model and preprocessing.

    Args:
        python: An interpreter that has fastembed; it is another environment's.
        model: The model.
        embedder: The same model here.
        photos: The folder of photographs.
    """
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(model, Path(name) / "model.onnx")
        profile = embedder.profile
        table = lookup_table(profile.steps, "float32").astype(float)
        # All statistics in the form that transformers has them: (x / 255 - mean) / deviation.
        deviation = (table[:, 255] - table[:, 0]) ** -1
        config = {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": min(profile.resized)},
            "do_center_crop": True,
            "crop_size": profile.size[0],
            "do_normalize": True,
            "image_mean": (-table[:, 0] * deviation).tolist(),
            "image_std": deviation.tolist(),
        }
        (Path(name) / "preprocessor_config.json").write_text(json.dumps(config))
        script = str(Path(__file__).with_name("fastembed_runs.py"))
        command = [python, script, name, str(embedder.dimension), str(photos)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            lines, seconds = process.stdin, process.stdout

            def run(way: str) -> None:
                print(way, file=lines, flush=True)
                float(seconds.readline())

            yield {f"fastembed, {way}": partial(run, way) for way in ("threads", "processes")}
            lines.close()


@dataclass(frozen=True, slots=True)
class Throughput:
    """How long one image takes, in each way."""

    cores: int
    seconds: dict[str, Seconds]
    """By what was measured."""

    @property
    def floor(self) -> Seconds:
        """Inference alone, in its best arrangement, and decoding and preprocessing alone."""
        alone = [seconds for name, seconds in self.seconds.items() if name.startswith("inference")]
        preparation = self.seconds[PREPARATION]
        return Seconds(
            min(each.wall for each in alone) + preparation.wall / self.cores,
            min(each.cpu for each in alone) + preparation.cpu,
        )

    def rows(self) -> dict[str, str]:
        """Return lines of a table: milliseconds, images a second, and the share of the floor."""
        rows = {}
        for name, each in (*self.seconds.items(), ("floor", self.floor)):
            rows[name] = (
                f"{1000 * each.wall:7.1f} ms {1 / each.wall:8.1f} images/s"
                f"{self.floor.wall / each.wall:6.2f} of the floor"
            )
            if not name.startswith("fastembed"):  # which runs in processes of its own
                share = self.floor.cpu / each.cpu
                rows[name] += f"  {1000 * each.cpu:7.1f} ms of CPU{share:6.2f} of the floor"
        return rows


def measure(
    model: Path | None,
    profile: str | None = None,
    *,
    photos: int = 192,
    rounds: int = 3,
    size: tuple[int, int] = (640, 480),
    fastembed_python: str | None = None,
) -> Throughput:
    """Measure one model on JPEGs of one size.

    Args:
        model: The model; None for the default one, with the package's profile.
        profile: Its profile, unless the file says it.
        photos: Number of images.
        rounds: How often everything is measured, in turns.
        size: (width, height) of the images.
        fastembed_python: An interpreter that has fastembed; None to leave it out.
    """
    embedder = OnnxEmbedder.bundled() if model is None else OnnxEmbedder(model, profile=profile)
    path = model or bundled_model()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "photos").mkdir()
        paths = write_photos(folder / "photos", photos, size)
        runs = count()

        @contextmanager
        def engine_on_disk() -> Iterator[SearchEngine]:
            place = folder / f"stores-{next(runs)}"
            place.mkdir()
            with (
                LocalVectorStore(place / "vectors.sqlite") as vectors,
                SQLiteMetadataStore(place / "records.sqlite") as metadata,
            ):
                yield SearchEngine(embedder, vectors, metadata)

        def prepare() -> None:
            for each in paths:
                embedder.prepare(each)

        def index_embedded() -> None:
            with engine_on_disk() as engine:
                engine.index(paths)

        def add_embedded() -> None:
            with engine_on_disk() as engine:
                engine.add_many(Item(each.read_bytes(), id=str(each)) for each in paths)

        def index_in_memory() -> None:
            SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()).index(paths)

        # Sessions are made before the clock runs, here and for the floor.
        embedder.embed(paths[:8])
        variants = {
            **inference(path, embedder, paths),
            PREPARATION: prepare,
            "index, embedded stores on disk": index_embedded,
            "add_many, embedded stores on disk": add_embedded,
            "index, stores in memory": index_in_memory,
            "embed": lambda: embedder.embed(paths),
        }
        if fastembed_python is not None:
            others = fastembed(fastembed_python, path, embedder, folder / "photos")
            variants |= stack.enter_context(others)
        seconds = best_times(variants, rounds)
        few = paths[: max(4, photos // 16)]
        script = best_times({"script": lambda: article(path, embedder, few)}, 1)["script"]
    each = {name: Seconds(*(one / photos for one in took)) for name, took in seconds.items()}
    each["the article's script, a session an image"] = Seconds(
        *(took / len(few) for took in script)
    )
    return Throughput(available_cores(), each)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("models", nargs="*", help="MODEL.onnx, or MODEL.onnx=PROFILE")
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT")
    parser.add_argument("--fastembed", metavar="PYTHON")
    options = parser.parse_args(arguments)
    width, height = map(int, options.size.split("x"))
    models = options.models or ["", *([f"{RESNET50}=keras-caffe"] if RESNET50.exists() else [])]
    for model in models:
        path, _, profile = model.partition("=")
        found = measure(
            Path(path) if path else None,
            profile or None,
            photos=options.photos,
            rounds=options.rounds,
            size=(width, height),
            fastembed_python=options.fastembed,
        )
        title = (
            f"{path or bundled_model().name}, {options.photos} JPEGs of {options.size}, per image"
        )
        print(table(f"{title}, {found.cores} cores", found.rows()), flush=True)
    if not options.models and not RESNET50.exists():
        print("ResNet50 was left out: make it with nox -s export")


if __name__ == "__main__":
    main()
