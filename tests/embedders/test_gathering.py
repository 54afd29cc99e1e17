"""Batches of several threads become one on a device, and each thread gets its own values."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
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
from tests.embedders.models import colour_model, convolutional_model

Floats = NDArray[np.float32]
FACTORS = {"double": 2, "negative": -1}
"""What the outputs of the device are of its input."""


class Device:
    """A device whose first run waits until others have come."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.at_work = threading.Event()
        self.released = threading.Event()

    def __call__(self, batch: Floats, outputs: Sequence[str]) -> list[Floats]:
        self.sizes.append(len(batch))
        self.at_work.set()
        assert self.released.wait(10)
        if (batch < 0).any():
            raise EmbeddingError("a negative number")
        return [FACTORS[output] * batch for output in outputs]


def row(*numbers: float) -> Floats:
    return np.array(numbers, np.float32)[:, np.newaxis]


def run_behind(
    device: Device, runs: GatheredRuns, batches: list[Floats], outputs: Sequence[str] = ("double",)
) -> list[list[Floats] | EmbeddingError]:
    """Bring `batches` while a batch of one is at work; return values or errors."""

    def bring(batch: Floats) -> list[Floats] | EmbeddingError:
        try:
            return list(runs(batch, outputs))
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
    found = run_behind(device, GatheredRuns(device), batches, ["double", "negative"])
    assert device.sizes == [1, 6]
    for values, batch in zip(found, batches, strict=True):
        np.testing.assert_array_equal(values, [batch * 2, -batch])


def test_batches_that_ask_for_other_outputs_are_run_apart() -> None:
    device = Device()
    runs = GatheredRuns(device)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(runs, row(0), ["double"])
        assert device.at_work.wait(10)
        one = pool.submit(runs, row(1), ["double"])
        other = pool.submit(runs, row(2), ["negative", "double"])
        while len(runs._waiting) < 2:
            threading.Event().wait(0.001)
        device.released.set()
        assert [first.result(10), one.result(10)] == [[row(0)], [row(2)]]
        assert other.result(10) == [row(-2), row(4)]
    assert device.sizes == [1, 1, 1]


def test_no_run_holds_more_images_than_the_limit() -> None:
    device = Device()
    batches = [row(*range(40)) for _ in range(5)]
    found = run_behind(device, GatheredRuns(device), batches)
    assert max(device.sizes) <= MOST_TOGETHER
    assert sum(device.sizes) == 201
    assert all(np.array_equal(values, [batches[0] * 2]) for values in found)


def test_one_batch_that_fails_takes_no_other_with_it() -> None:
    device = Device()
    bad, good = run_behind(device, GatheredRuns(device), [row(-1), row(3)])
    assert isinstance(bad, EmbeddingError)
    np.testing.assert_array_equal(good, [row(6)])


def test_batches_of_another_shape_are_run_apart() -> None:
    device = Device()
    wide = np.ones((2, 3), np.float32)
    found = run_behind(device, GatheredRuns(device), [row(1), wide])
    assert sorted(device.sizes) == [1, 1, 2]
    np.testing.assert_array_equal(found[1], [wide * 2])


def test_several_devices_are_busy_at_once() -> None:
    met = threading.Barrier(2)

    def run(batch: Floats, outputs: Sequence[str]) -> list[Floats]:
        met.wait(10)
        return [batch for _ in outputs]

    runs = GatheredRuns(run, devices=2)
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(runs, [row(1), row(2)], [["double"]] * 2)
        assert [len(values) for (values,) in found] == [1, 1]


def test_an_error_that_ends_the_run_ends_the_waiting() -> None:
    def interrupted(batch: Floats, outputs: Sequence[str]) -> list[Floats]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GatheredRuns(interrupted)(row(1), ["double"])


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
    again = pickle.loads(pickle.dumps(on_gpu.parallel(4)))
    np.testing.assert_array_equal(again.embed(pixels[0]), on_gpu.embed(pixels[0]))


def test_vectors_and_maps_of_several_threads_are_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch)
    large = PreprocessingProfile("large", (224, 224))
    pixels = np.random.default_rng(6).integers(0, 256, (5, 30, 40, 3), dtype=np.uint8)
    model = convolutional_model()
    on_cpu = OnnxEmbedder(model, profile=large, regions=True)
    view = OnnxEmbedder(model, profile=large, regions=True, providers=CUDA).parallel(4)
    tensors = [on_cpu.prepare(each) for each in pixels]
    gpus.runs.clear()
    gathered = view._gathered
    assert gathered is not None

    def wait_for_others(device: int) -> None:
        while gpus.runs.total() == 1 and len(gathered._waiting) < 4:
            threading.Event().wait(0.001)

    gpus.during_run = wait_for_others
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda tensor: view.embed_with_map([tensor]), tensors))
    assert gpus.runs.total() == 2
    for tensor, values in zip(tensors, found, strict=True):
        for own, alone in zip(values, on_cpu.embed_with_map([tensor]), strict=True):
            np.testing.assert_allclose(own, alone, rtol=1e-5, atol=1e-5)
