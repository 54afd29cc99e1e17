"""Which execution provider runs a model, and on which devices."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from onnxsearch import (
    EmbeddingError,
    InvalidArgumentError,
    ModelLoadError,
    OnnxEmbedder,
    PreprocessingProfile,
    ProviderError,
    RuntimeOptions,
)
from onnxsearch.embedders.onnx.provider_choice import why_not
from onnxsearch.testing import picture
from tests.embedders.gpus import CPU, CUDA, Gpus
from tests.embedders.models import colour_model

SMALL = PreprocessingProfile("small", (6, 5))


def embedder(**arguments: Any) -> OnnxEmbedder:
    return OnnxEmbedder(colour_model(), profile=SMALL, **arguments)


def test_auto_is_the_cpu_where_there_is_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    if CUDA in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with caplog.at_level(logging.INFO, logger="onnxsearch"):
        chosen = embedder(providers="auto")
    assert chosen.providers == (CPU,)
    assert "onnxruntime-gpu" in caplog.text
    assert [getattr(record, "provider", None) for record in caplog.records][-1] == CPU
    image = picture("a")
    assert np.array_equal(chosen.embed(image), embedder().embed(image))


def test_auto_is_cuda_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch)
    assert embedder(providers="auto").providers == (CUDA, CPU)
    assert embedder().providers == (CPU,)  # nobody asked


def test_auto_passes_over_a_driver_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpus = Gpus(monkeypatch, count=0)
    with caplog.at_level(logging.INFO, logger="onnxsearch"):
        assert embedder(providers="auto").providers == (CPU,)
    assert "invalid device ordinal" in caplog.text
    gpus.count, gpus.broken_driver = 1, True
    assert embedder(providers="auto").providers == (CPU,)


def test_a_choice_stays_whatever_happens_to_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model())
    gpus = Gpus(monkeypatch)
    chosen = OnnxEmbedder(path, profile=SMALL, providers="auto")
    before = chosen.fingerprint
    copy = pickle.loads(pickle.dumps(chosen))
    assert copy.providers == (CUDA, CPU)

    def fail(device: int) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access")

    gpus.during_run = fail
    with pytest.raises(EmbeddingError, match="illegal memory access"):
        chosen.embed(picture("a"))
    chosen.close()
    gpus.broken_driver = True
    with pytest.raises(ProviderError, match=CUDA):
        chosen.embed(picture("a"))
    with pytest.raises(ProviderError, match=CUDA):
        copy.embed(picture("a"))
    assert chosen.providers == (CUDA, CPU)
    assert chosen.fingerprint == before


def test_a_device_at_fault_is_told_from_a_model_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch)
    gpus.refuses = lambda model: model == colour_model()
    with pytest.raises(ModelLoadError, match="out of memory"):
        embedder(providers="auto")
    gpus.count = 0
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider does not start.*ordinal"):
        embedder(providers=[CUDA, CPU])


def test_the_fingerprint_does_not_name_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = embedder().fingerprint
    Gpus(monkeypatch, count=2)
    assert embedder(providers="auto", device_ids=[1]).fingerprint == on_cpu


def test_batches_are_spread_over_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch, count=3)
    spread = embedder(providers=CUDA, device_ids=[0, 2])
    gpus.runs.clear()
    images = [picture(str(n)) for n in range(12)]
    assert np.array_equal(spread.embed(images, batch_size=3), embedder().embed(images))
    # Threads embed: a device that is free sooner gets more batches.
    assert gpus.runs.keys() == {0, 2}
    assert gpus.runs.total() == 4


def test_a_batch_goes_to_a_device_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch, count=2)
    spread = embedder(providers=CUDA, device_ids=[0, 1])
    tensor = spread.prepare(picture("a"))
    held, leave = threading.Event(), threading.Event()
    busy: list[int] = []

    def hold_the_first(device: int) -> None:
        if not held.is_set():
            busy.append(device)
            held.set()
            leave.wait(30)

    gpus.during_run = hold_the_first
    first = threading.Thread(target=spread.embed_tensors, args=([tensor],))
    first.start()
    assert held.wait(30)
    gpus.runs.clear()
    for _ in range(4):
        spread.embed_tensors([tensor])
    leave.set()
    first.join()
    assert gpus.runs == {1 - busy[0]: 4}


def test_memory_is_given_back_on_the_device_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch, count=4)
    asked: list[str] = []

    class Options(ort.RunOptions):  # type: ignore[misc]
        def add_run_config_entry(self, key: str, value: str) -> None:
            asked.append(value)

    monkeypatch.setattr(ort, "RunOptions", Options)
    embedder(providers=CUDA, device_ids=[3], runtime=RuntimeOptions(shrink=True))
    assert set(asked) == {"cpu:0;gpu:3"}
    assert all(isinstance(options, Options) for options in gpus.options)
    assert len(gpus.options) == gpus.runs[3] == len(asked)


def test_all_devices_start_at_once_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch, count=2)
    for providers in (CUDA, "auto"):
        with pytest.raises(ProviderError, match=r"GPU=2"):
            embedder(providers=providers, device_ids=[0, 2])


@pytest.mark.parametrize(
    ("providers", "device_ids", "message"),
    [
        (CPU, [0], "CPUExecutionProvider has none"),
        (CUDA, [], "each of them once"),
        (CUDA, [1, 1], "each of them once"),
        (CUDA, [-1], "device_ids -1"),
        (CUDA, [True], "device_ids True"),
        (CUDA, "01", "device_ids"),
        ([(CUDA, {"device_id": "1"})], [0], "one of the two"),
    ],
)
def test_devices_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, providers: Any, device_ids: Sequence[int], message: str
) -> None:
    Gpus(monkeypatch, count=2)
    with pytest.raises(InvalidArgumentError, match=message):
        embedder(providers=providers, device_ids=device_ids)


def test_devices_without_cuda() -> None:
    if CUDA in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match="onnxruntime-gpu"):
        embedder(providers="auto", device_ids=[0])


def test_the_model_that_tries_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an ordinary ONNX file, and computes."""
    given: list[bytes] = []
    real = ort.InferenceSession

    def keep(model: bytes, *others: Any, **named: Any) -> Any:
        given.append(model)
        return real(model, *others, **named)

    monkeypatch.setattr(ort, "InferenceSession", keep)
    assert why_not(CPU) is None
    loaded = onnx.load_from_string(given[0])
    onnx.checker.check_model(loaded)
    node = loaded.graph.node[0]
    assert (node.op_type, list(node.input)) == ("Add", ["x", "x"])
    assert loaded.graph.input[0] == helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])


def test_a_provider_that_computes_nonsense_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ort.InferenceSession

    class Wrong:
        def __init__(self, *given: Any, **named: Any) -> None:
            self.real = real(*given, **named)

        def get_providers(self) -> list[str]:
            return [CPU]

        def run(self, *given: Any) -> Any:
            return [np.full(1, 3, np.float32)]

    monkeypatch.setattr(ort, "InferenceSession", Wrong)
    assert why_not(CPU) == "on it, 1 and 1 are [3.0]"
