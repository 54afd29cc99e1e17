"""Speed and memory of reading all records: python -m benchmarks.records [--images N].

An engine in files (the local vector store, SQLite) is filled with N records of ten fields, and
`engine.records()` is iterated without arguments, with a filter and in two orders. Beside each time
is that of the processor alone, which other processes disturb less, and the growth of the process's
memory during the iteration.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.timing import table
from onnxsearch import CollectionSpec, F, ModelDescription, NewImage, Record, SearchEngine
from onnxsearch.testing import FakeEmbedder

BATCH = 256


class Album:
    """A source of N images that no file holds."""

    def __init__(self, images: int, model: FakeEmbedder) -> None:
        self.images, self.model = images, model

    def count(self) -> int:
        return self.images

    def models(self) -> list[str]:
        return [self.model.name]

    def space(self, model: str) -> CollectionSpec:
        return CollectionSpec("album", self.model.dimension, self.model.fingerprint)

    def descriptions(self) -> list[ModelDescription]:
        return []

    def root(self) -> None:
        return None

    def batches(self) -> Iterator[list[NewImage]]:
        vector = np.full(self.model.dimension, self.model.dimension**-0.5, np.float32)
        for start in range(0, self.images, BATCH):
            numbers = range(start, min(start + BATCH, self.images))
            yield [NewImage(self.record(n), {self.model.name: vector}) for n in numbers]

    def record(self, number: int) -> Record:
        path = f"/home/user/Pictures/album {number % 97}/IMG_{number:07}.jpg"
        return Record(
            path,
            uri=path,
            metadata={
                "rating": number % 5,
                "place": {"city": "Rome", "country": "Italy"},
                "tags": ["holiday", "family"],
                "camera": f"Model {number % 13}",
                "taken": 1_600_000_000 + number * 7919 % self.images,
            },
            models=(self.model.name,),
            content=f"{number:032x}",
            size=4_000_000 + number,
            modified_ns=1_600_000_000_000_000_000 + number,
        )


def resident() -> float:
    """Return the memory that the process takes at the moment, in MiB; Linux only."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of reading all records.")
    parser.add_argument("--images", type=int, default=100_000)
    images = parser.parse_args(arguments).images
    model = FakeEmbedder()
    with (
        tempfile.TemporaryDirectory() as folder,
        SearchEngine.open(Path(folder, "album"), embedders=model) as engine,
    ):
        engine.copy_from(Album(images, model))
        rows: dict[str, str] = {}
        for name, records in {
            "all": engine.records(),
            "with a filter": engine.records(F("rating") >= 4),
            "in the order of ids": engine.records(order_by="id"),
            "in the order of a field": engine.records(order_by="-taken"),
        }.items():
            before, started, worked = resident(), time.perf_counter(), time.process_time()
            number = sum(1 for _ in records)
            seconds, busy = time.perf_counter() - started, time.process_time() - worked
            rows[name] = (
                f"{number:9,} records  {seconds:6.2f} s, of the processor {busy:6.2f} s"
                f"  {resident() - before:+6.1f} MiB"
            )
        print(table(f"records() of {images:,} images in SQLite", rows))


if __name__ == "__main__":
    main()
