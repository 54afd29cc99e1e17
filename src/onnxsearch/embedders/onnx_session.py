"""ONNX Runtime, kept at arm's length: sessions, providers, and its errors."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import onnxruntime as ort
from onnxruntime.capi import (
    onnxruntime_pybind11_state as state,  # pyright: ignore[reportAttributeAccessIssue]
)

from onnxsearch.errors import ModelLoadError, ProviderError

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
)

# Sessions made in two threads at once have crashed (microsoft/onnxruntime#27063).
_CONSTRUCTION = threading.Lock()

# On Windows, ONNX Runtime reports its use to Microsoft unless told not to.
ort.disable_telemetry_events()


class Sessions:
    """The sessions of one model, one for each number of threads asked for.

    Made when they are first needed. Pickles without them.
    """

    def __init__(self, model: str | bytes, providers: Sequence[Provider]) -> None:
        """Remember what to load; nothing is loaded yet.

        Args:
            model: Absolute path of the model, or its bytes.
            providers: Execution providers, the preferred one first.
        """
        self.model = model
        self.providers = tuple(providers)
        self._sessions: dict[int, ort.InferenceSession] = {}
        self._lock = threading.Lock()

    def get(self, threads: int) -> ort.InferenceSession:
        """Return the session that computes with `threads` threads.

        Raises:
            ModelLoadError: ONNX Runtime refuses the model.
            ProviderError: A provider is not available, or gave up.
        """
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = _open(self.model, self.providers, threads)
            return self._sessions[threads]

    def close(self) -> None:
        """Let go of all sessions. `get` makes them anew."""
        with self._lock:
            self._sessions.clear()

    def __reduce__(self) -> tuple[type[Sessions], tuple[str | bytes, Sequence[Provider]]]:
        return Sessions, (self.model, self.providers)


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


def _open(model: str | bytes, providers: Sequence[Provider], threads: int) -> ort.InferenceSession:
    label = f"model of {len(model)} bytes" if isinstance(model, bytes) else f"model {model!r}"
    if isinstance(model, str) and not os.path.isfile(model):
        what = "is a folder" if os.path.isdir(model) else "does not exist"
        raise ModelLoadError(f"{label} {what}: expected the path of an .onnx file")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work by spinning take the cores from those that have some.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; warnings speak of the graph's optimisation
    try:
        with _CONSTRUCTION:
            session = ort.InferenceSession(
                model,
                options,
                providers=[_with_options(provider) for provider in providers],
                enable_fallback=0,
            )
    except RUNTIME_ERRORS as error:
        raise ModelLoadError(f"ONNX Runtime cannot load {label}: {error}") from error
    gone = {_name(provider) for provider in providers} - set(session.get_providers())
    if gone:
        raise ProviderError(
            f"execution provider {', '.join(sorted(gone))} is installed but could not start "
            f"for {label}; its driver or libraries are missing or of the wrong version"
        )
    return session


def _with_options(provider: Provider) -> str | tuple[str, dict[str, str]]:
    return provider if isinstance(provider, str) else (provider[0], dict(provider[1]))
