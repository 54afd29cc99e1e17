"""Speed of indexing folders, beside the best that the machine can do.

    python -m benchmarks.throughput [MODEL.onnx=PROFILE ...]

The floor is the inference alone, in the fastest of several arrangements, plus
decoding and preprocessing alone shared by all cores. An index run also reads files,
hashes them, and writes vectors and records to the disk; its share of the floor shows the
cost of these. `add_many` stores the same images from memory. For comparison, the script
of the article that started this project is measured too: one image after the other, a new
session for each.

Without MODEL the default model is measured, and ResNet50 in float32 where
`nox -s export` has made it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.photos import write_photos
from benchmarks.timing import best_of, table
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
from onnxsearch.images.reading import open_image

RESNET50 = Path(__file__).resolve().parents[1] / "build/models/resnet50-keras-random.onnx"
BATCH = 4


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


def measure(model: Path, profile: str | None, photos: int, rounds: int) -> str:
    embedder = OnnxEmbedder(model, profile=profile)
    cores = available_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_photos(folder, photos)
        runs = count()

        def prepare() -> None:
            for path in paths:
                embedder.prepare(open_image(path))

        @contextmanager
        def engine_on_disk() -> Iterator[SearchEngine]:
            place = folder / f"stores-{next(runs)}"
            place.mkdir()
            with (
                LocalVectorStore(place / "vectors.sqlite") as vectors,
                SQLiteMetadataStore(place / "records.sqlite") as metadata,
            ):
                yield SearchEngine(embedder, vectors, metadata)

        def index_embedded() -> None:
            with engine_on_disk() as engine:
                engine.index(paths)

        contents = {str(path): path.read_bytes() for path in paths}

        def add_embedded() -> None:
            with engine_on_disk() as engine:
                engine.add_many(Item(data, id=id) for id, data in contents.items())

        def index_in_memory() -> None:
            SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()).index(paths)

        # Sessions are made before the clock runs, here and for the floor.
        SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()).index(paths[:8])
        alone = inference(model, embedder, paths)
        seconds = best_of(
            {
                **alone,
                "decoding and preprocessing, one thread": prepare,
                "index, embedded stores on disk": index_embedded,
                "add_many from memory, embedded stores on disk": add_embedded,
                "index, stores in memory": index_in_memory,
            },
            rounds,
        )
        few = paths[: max(4, photos // 16)]
        script = best_of({"script": lambda: article(model, embedder, few)}, 1)["script"]
    preparation = seconds["decoding and preprocessing, one thread"]
    floor = min(seconds[variant] for variant in alone) + preparation / cores
    rows = {variant: f"{1000 * value / photos:7.1f} ms" for variant, value in seconds.items()}
    rows["floor"] = f"{1000 * floor / photos:7.1f} ms"
    rows["the article's script, a session an image"] = f"{1000 * script / len(few):7.1f} ms"
    for place in ("embedded stores on disk", "stores in memory"):
        actual = seconds[f"index, {place}"]
        rows[f"of the floor, {place}"] = (
            f"{floor / actual:7.2f}    ({photos / actual:.1f} images/s)"
        )
    added = seconds["add_many from memory, embedded stores on disk"]
    ratio = seconds["index, embedded stores on disk"] / added
    rows["speed of add_many, of that of index"] = f"{ratio:7.2f}    ({photos / added:.1f} images/s)"
    return table(f"{model.name}, {photos} JPEGs of 640 x 480, per image, {cores} cores", rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("models", nargs="*", help="MODEL.onnx, or MODEL.onnx=PROFILE")
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    models = options.models or [str(bundled_model())]
    if not options.models and RESNET50.exists():
        models.append(f"{RESNET50}=keras-caffe")
    for model in models:
        path, _, profile = model.partition("=")
        print(measure(Path(path), profile or None, options.photos, options.rounds), flush=True)
    if not options.models and not RESNET50.exists():
        print("ResNet50 was left out: make it with nox -s export")


if __name__ == "__main__":
    main()
