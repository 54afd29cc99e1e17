"""ONNX Runtime, kept at arm's length: sessions, providers, and its errors."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

# ONNX Runtime reports its use to Microsoft unless told not to, from the moment when it is
# imported (its Privacy.md). What the user has set stays.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import (
    onnxruntime_pybind11_state as state,  # pyright: ignore[reportAttributeAccessIssue]
)

from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.onnx.editing import open_batch
from onnxsearch.embedders.onnx.external_data import external_data, loadable
from onnxsearch.errors import (
    EmbeddingError,
    InvalidArgumentError,
    ModelLoadError,
    ProviderError,
)

Provider: TypeAlias = "str | tuple[str, Mapping[str, str]]"
"""Name of an execution provider, alone or with its options."""

CPU = "CPUExecutionProvider"

# ONNX Runtime's exceptions have no base in common; wrong inputs are ValueErrors.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(
        value
        for value in vars(state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ),
    ValueError,
    RuntimeError,
    OSError,
)

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |Load model from .+? failed:|"
    r"/onnxruntime_src/\S+ .*?\) (?=[A-Z])"
)

# Sessions made in two threads at once have crashed (microsoft/onnxruntime#27063).
_CONSTRUCTION = threading.Lock()

# If somebody imported it before; of old releases, those for Windows know only this.
ort.disable_telemetry_events()


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How ONNX Runtime uses the machine; vectors stay the same.

    Example:
        >>> RuntimeOptions(shrink=True)  # for a long-lived process that embeds now and then
        RuntimeOptions(spinning=False, arena=True, shrink=True, open_batch=None)
    """

    spinning: bool = False
    """Let threads wait for work in a busy loop: a little faster where nothing else
    runs, but it takes cores from those that have work."""
    arena: bool = True
    """Keep memory for the next run. Without, runs are slower and take less."""
    shrink: bool = False
    """Give the arena's memory back after each run: a ResNet50 that has seen large
    batches then holds 290 MB instead of 990."""

    open_batch: bool | None = None
    """Run several pictures at once through a model that was exported for one, if two
    random ones together provably give what each gives alone. Needs the extra `onnx`.
    None: wherever that is installed, except on the CPU, where one by one is as fast
    as any batch, and faster for models with large maps."""

    def __post_init__(self) -> None:
        if self.shrink and not self.arena:
            raise InvalidArgumentError("shrink=True gives back the arena's memory: expected arena")


class Sessions:
    """The sessions of one model, one for each number of threads asked for.

    Made when they are first needed. Pickles without them.
    """

    def __init__(
        self,
        model: str | bytes,
        providers: Sequence[Provider],
        options: RuntimeOptions,
        *,
        any_batch: bool = False,
    ) -> None:
        """Remember what to load; nothing is loaded yet.

        Args:
            model: Absolute path of the model, or its bytes.
            providers: Execution providers, the preferred one first.
            options: How the machine is used.
            any_batch: Load the model as `open_batch` edits it.
        """
        self.model = model
        self.providers = tuple(providers)
        self.options = options
        self.any_batch = any_batch
        self._sessions: dict[int, ort.InferenceSession] = {}
        self._lock = threading.Lock()

    def with_open_batch(self) -> Sessions:
        """Return sessions of the same model, edited to take any batch."""
        return Sessions(self.model, self.providers, self.options, any_batch=True)

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU is the preferred provider."""
        return _name(self.providers[0]) == CPU

    def get(self, threads: int) -> ort.InferenceSession:
        """Return the session that computes with `threads` threads.

        Raises:
            ModelLoadError: ONNX Runtime refuses the model.
            ProviderError: A provider is not available, or gave up.
        """
        with self._lock:
            if threads not in self._sessions:
                model = open_batch(self.model) if self.any_batch else self.model
                self._sessions[threads] = _open(model, self.providers, threads, self.options)
            return self._sessions[threads]

    def run(
        self, threads: int, outputs: Sequence[str], inputs: Mapping[str, Tensor], model: str
    ) -> list[Tensor]:
        """Return the values of `outputs` for `inputs`. Errors name the model as `model`.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        session = self.get(threads)
        try:
            values = session.run(list(outputs), dict(inputs), self._run_options())
        except RUNTIME_ERRORS as error:
            given = ", ".join(f"{value.dtype} {value.shape}" for value in inputs.values())
            raise EmbeddingError(f"model {model!r} failed on input {given}: {error}") from error
        return [np.asarray(value) for value in values]

    def close(self) -> None:
        """Let go of all sessions. `get` makes them anew."""
        with self._lock:
            self._sessions.clear()

    def __getstate__(self) -> dict[str, object]:
        kept = ("model", "providers", "options", "any_batch")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._sessions = {}
        self._lock = threading.Lock()

    def _run_options(self) -> ort.RunOptions | None:
        if not self.options.shrink:
            return None
        on_gpu = any(_name(provider).startswith("CUDA") for provider in self.providers)
        options = ort.RunOptions()
        options.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", "cpu:0;gpu:0" if on_gpu else "cpu:0"
        )
        return options


def check_providers(providers: str | Sequence[Provider]) -> tuple[Provider, ...]:
    """Return `providers` as a tuple, if all of them are installed here.

    ONNX Runtime itself would print a line and go on with the CPU.

    Raises:
        ProviderError: One is not installed, or none is named.
    """
    asked: tuple[Provider, ...] = (providers,) if isinstance(providers, str) else tuple(providers)
    available = ort.get_available_providers()
    missing = [name for name in map(_name, asked) if name not in available]
    if missing or not asked:
        raise ProviderError(
            f"execution provider {', '.join(missing) or '(none)'} is not available here; "
            f"installed: {', '.join(available)}. CUDA and TensorRT come with the package "
            "onnxruntime-gpu, which takes the place of onnxruntime"
        )
    return asked


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _open(
    model: str | bytes, providers: Sequence[Provider], threads: int, how: RuntimeOptions
) -> ort.InferenceSession:
    label = f"model of {len(model)} bytes" if isinstance(model, bytes) else f"model {model!r}"
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = how.arena
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(how.spinning)))
    options.log_severity_level = 3  # errors; warnings speak of the graph's optimisation
    try:
        with _CONSTRUCTION, _loadable(model, label) as source:
            session = ort.InferenceSession(
                source,
                options,
                providers=[_with_options(provider) for provider in providers],
                enable_fallback=0,
            )
    except RUNTIME_ERRORS as error:
        raise ModelLoadError(f"ONNX Runtime cannot load {label}: {_reason(error)}") from error
    gone = {_name(provider) for provider in providers} - set(session.get_providers())
    if gone:
        raise ProviderError(
            f"execution provider {', '.join(sorted(gone))} is installed but could not start "
            f"for {label}; its driver or libraries are missing or of the wrong version"
        )
    return session


def _loadable(model: str | bytes, label: str) -> AbstractContextManager[str | bytes]:
    if isinstance(model, str):
        if not os.path.isfile(model):
            what = "is a folder" if os.path.isdir(model) else "does not exist"
            raise ModelLoadError(f"{label} {what}: expected the path of an .onnx file")
        return loadable(model)
    if beside := external_data(model):
        # ONNX Runtime would read it from whatever folder the process is in.
        raise ModelLoadError(
            f"{label} has weights in another file, {next(iter(beside))!r}: expected the model's "
            "path, which tells where that file is"
        )
    return nullcontext(model)


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without where in its source it says so."""
    return _NOISE.sub("", str(error)).strip()


def _with_options(provider: Provider) -> str | tuple[str, dict[str, str]]:
    return provider if isinstance(provider, str) else (provider[0], dict(provider[1]))
