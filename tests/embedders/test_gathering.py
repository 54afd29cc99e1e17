"""Batches of several threads become one on a device, and each thread gets its own values."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxsearch import (
    EmbeddingError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    PreprocessingProfile,
    SearchEngine,
)
from onnxsearch.embedders.onnx.gathering import MOST_TOGETHER, GatheredRuns
from tests.embedders.gpus import CUDA, Gpus
from tests.embedders.models import colour_model

Floats = NDArray[np.float32]


class Device:
    """A device whose first run waits until others have come."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.at_work = threading.Event()
        self.released = threading.Event()

    def __call__(self, batch: Floats) -> Floats:
        self.sizes.append(len(batch))
        self.at_work.set()
        assert self.released.wait(10)
        if (batch < 0).any():
            raise EmbeddingError("a negative number")
        return batch * 2


def row(*numbers: float) -> Floats:
    return np.array(numbers, np.float32)[:, np.newaxis]


def run_behind(device: Device, runs: GatheredRuns, batches: list[Floats]) -> list[object]:
    """Bring `batches` while a batch of one is at work; return values or errors."""

    def bring(batch: Floats) -> object:
        try:
            return runs(batch)
        except EmbeddingError as error:
            return error

    with ThreadPoolExecutor(len(batches) + 1) as pool:
        first = pool.submit(bring, row(0))
        assert device.at_work.wait(10)
        others = [pool.submit(bring, batch) for batch in batches]
        while len(runs._waiting) < len(batches):
            threading.Event().wait(0.001)
        device.released.set()
        first.result(10)
        return [each.result(10) for each in others]


def test_what_waits_is_run_together_and_returned_apart() -> None:
    device = Device()
    batches = [row(1, 2), row(3), row(4, 5, 6)]
    found = run_behind(device, GatheredRuns(device), batches)
    assert device.sizes == [1, 6]
    for values, batch in zip(found, batches, strict=True):
        np.testing.assert_array_equal(values, batch * 2)


def test_no_run_holds_more_images_than_the_limit() -> None:
    device = Device()
    batches = [row(*range(40)) for _ in range(5)]
    found = run_behind(device, GatheredRuns(device), batches)
    assert max(device.sizes) <= MOST_TOGETHER
    assert sum(device.sizes) == 201
    assert all(np.array_equal(values, batches[0] * 2) for values in found)


def test_one_batch_that_fails_takes_no_other_with_it() -> None:
    device = Device()
    bad, good = run_behind(device, GatheredRuns(device), [row(-1), row(3)])
    assert isinstance(bad, EmbeddingError)
    np.testing.assert_array_equal(good, row(6))


def test_batches_of_another_shape_are_run_apart() -> None:
    device = Device()
    wide = np.ones((2, 3), np.float32)
    found = run_behind(device, GatheredRuns(device), [row(1), wide])
    assert sorted(device.sizes) == [1, 1, 2]
    np.testing.assert_array_equal(found[1], wide * 2)


def test_several_devices_are_busy_at_once() -> None:
    met = threading.Barrier(2)

    def run(batch: Floats) -> Floats:
        met.wait(10)
        return batch

    runs = GatheredRuns(run, devices=2)
    with ThreadPoolExecutor(2) as pool:
        assert [len(values) for values in pool.map(runs, [row(1), row(2)])] == [1, 1]


def test_an_error_that_ends_the_run_ends_the_waiting() -> None:
    def interrupted(batch: Floats) -> Floats:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GatheredRuns(interrupted)(row(1))


def test_an_engine_on_a_gpu_stores_the_vectors_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch)
    small = PreprocessingProfile("small", (6, 5))
    pixels = np.random.default_rng(5).integers(0, 256, (30, 9, 8, 3), dtype=np.uint8)
    on_gpu = OnnxEmbedder(colour_model(), name="m", profile=small, providers=CUDA)
    on_cpu = OnnxEmbedder(colour_model(), name="m", profile=small)
    before = gpus.runs.total()
    with SearchEngine(
        on_gpu, InMemoryVectorStore(), InMemoryMetadataStore(), workers=4, batch_size=2
    ) as engine:
        ids = [outcome.id for outcome in engine.add_many(pixels).outcomes]
        stored = engine.vectors([id for id in ids if id is not None])
    np.testing.assert_allclose(stored, on_cpu.embed(list(pixels)), atol=1e-6)
    assert gpus.runs.total() - before <= 15
    again = pickle.loads(pickle.dumps(GatheredRuns(abs)))
    np.testing.assert_array_equal(again(row(-3)), row(3))
