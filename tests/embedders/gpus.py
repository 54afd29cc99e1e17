"""A stand-in for GPUs: sessions that claim to run on CUDA, and compute on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort
import pytest

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


class Gpus:
    """GPUs of this machine, as ONNX Runtime shows them.

    Args:
        monkeypatch: What changes ONNX Runtime for a test.
        count: How many there are. A session on another one fails, as it does with CUDA.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 1) -> None:
        self.count = count
        self.runs: Counter[int] = Counter()
        """Runs of real models, by device."""
        self.options: list[ort.RunOptions | None] = []
        """The options of each of these runs."""
        self.broken_driver = False
        """Whether ONNX Runtime leaves out CUDA by itself and goes on with the CPU."""
        self.refuses: Callable[[object], bool] = lambda model: False
        """Which models CUDA does not take."""
        self.during_run: Callable[[int], None] = lambda device: None
        self._real = ort.InferenceSession
        installed = [CUDA, *ort.get_available_providers()]
        monkeypatch.setattr(ort, "InferenceSession", self._session)
        monkeypatch.setattr(ort, "get_available_providers", lambda: installed)

    def _session(
        self,
        model: str | bytes,
        options: ort.SessionOptions,
        providers: Sequence[Any],
        **others: Any,
    ) -> Any:
        given = dict(providers)
        if CUDA not in given:
            return self._real(model, options, providers=providers, **others)
        device = int(given[CUDA].get("device_id", 0))
        if device >= self.count:
            raise RuntimeError(f"CUDA failure 101: invalid device ordinal ; GPU={device}")
        if self.refuses(model):
            raise RuntimeError("CUDA failure 2: out of memory")
        real = self._real(model, ort.SessionOptions(), providers=[CPU])
        return _Session(self, real, device, [CPU] if self.broken_driver else [CUDA, CPU])


class _Session:
    def __init__(self, gpus: Gpus, real: Any, device: int, providers: list[str]) -> None:
        self._gpus, self._real, self._device, self._providers = gpus, real, device, providers

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, outputs: list[str] | None, inputs: Mapping[str, Any], *others: Any) -> Any:
        assert outputs is None, "only the tiny model that tries a provider is run without binding"
        return self._real.run(outputs, inputs, *others)

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions | None) -> None:
        self._gpus.runs[self._device] += 1
        self._gpus.options.append(options)
        self._gpus.during_run(self._device)
        self._real.run_with_iobinding(binding, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
