"""The adapter of ONNX Runtime: its sessions, providers and errors."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import boolean
from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.bundled import bundled_models
from onnxsearch.embedders.onnx.binding import run_bound
from onnxsearch.embedders.onnx.devices import DeviceTurns
from onnxsearch.embedders.onnx.editing import expose, open_batch
from onnxsearch.embedders.onnx.external_data import (
    external_data,
    external_locations,
    loadable_path,
)
from onnxsearch.embedders.onnx.header import other_format, other_format_of, text_instead
from onnxsearch.embedders.onnx.providers import (
    CPU,
    Provider,
    has_devices,
    on_each_device,
    provider_name,
    provider_options,
)
from onnxsearch.errors import (
    EmbeddingError,
    InvalidArgumentError,
    ModelLoadError,
    ProviderError,
)

if TYPE_CHECKING:
    import onnxruntime as ort

_SOURCE_POSITIONS = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |Load model from .+? failed:|"
    r"/onnxruntime_src/\S+ .*?\) (?=[A-Z])"
)
"""What messages of ONNX Runtime say about its own code."""

_ADVICE = {
    "IR version": "install a newer onnxruntime, or export with an older version of onnx",
    "opset": "install a newer onnxruntime, or export for an older opset, such as 17",
    "is not a registered function/op": (
        "export with operators of ONNX only, or for a newer onnxruntime"
    ),
}
"""Remedies, by a part of ONNX Runtime's message."""

# Sessions made in two threads at once have crashed (microsoft/onnxruntime#27063).
CONSTRUCTION = threading.Lock()


@cache
def onnx_runtime() -> ModuleType:
    """Import ONNX Runtime with its telemetry switched off, and return it.

    It reports its use to Microsoft unless told not to, from the moment when it is
    imported (its Privacy.md). Hence nothing here imports it in another way. What the
    user has set in the environment stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    runtime: ModuleType = onnxruntime
    # For a process that imported it before, and old releases for Windows.
    runtime.disable_telemetry_events()
    return runtime


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: types without a common base, and built-in ones."""
    state = onnx_runtime().capi.onnxruntime_pybind11_state
    own = [
        value
        for value in vars(state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    return (*own, ValueError, RuntimeError, OSError)


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How ONNX Runtime uses the machine. Vectors do not depend on it.

    Example:
        >>> RuntimeOptions(shrink=True)  # for a long-lived process that embeds now and then
        RuntimeOptions(spinning=False, arena=True, shrink=True, open_batch=None)
    """

    spinning: bool = False
    """Let threads wait for work in a busy loop: a little faster where nothing else
    runs, but it takes cores from threads that have work."""
    arena: bool = True
    """Keep memory for the next run. Without it, runs are slower and take less memory."""
    shrink: bool = False
    """Give the arena's memory back after each run: a ResNet50 that has seen large
    batches then holds 290 MB instead of 990."""

    open_batch: bool | None = None
    """Run several images at once through a model that was exported for a single image, if
    a comparison shows that an image's values stay the same. Needs the extra `onnx`.
    None: wherever that is installed, except on the CPU, where images one by one are as
    fast as any batch, and faster for models with large feature maps."""

    def __post_init__(self) -> None:
        for name in ("spinning", "arena", "shrink"):
            boolean(name, getattr(self, name))
        if self.open_batch is not None:
            boolean("open_batch", self.open_batch, "True, False or None")
        if self.shrink and not self.arena:
            raise InvalidArgumentError("shrink=True gives back the arena's memory: expected arena")


class Sessions:
    """The sessions of one model: one on each device, for each number of threads asked for.

    A session is made when it is first needed. Pickling keeps what to load, not the
    sessions.
    """

    def __init__(
        self,
        model: str | bytes,
        providers: Sequence[Provider],
        options: RuntimeOptions,
        *,
        any_batch: bool = False,
        exposed: str | None = None,
        devices: Sequence[int] = (),
    ) -> None:
        """Remember what to load; nothing is loaded yet.

        Args:
            model: Absolute path of the model, or its bytes.
            providers: Execution providers, the preferred one first.
            options: How the machine is used.
            any_batch: Load the model as `open_batch` edits it.
            exposed: An inner tensor that is a further output.
            devices: The GPUs, by number; none for the provider's default.

        Raises:
            InvalidArgumentError: The preferred provider has no devices.
        """
        self.model = model
        self.providers = tuple(providers)
        self.options = options
        self.any_batch = any_batch
        self.exposed = exposed
        self.devices = tuple(devices)
        self._prepare()

    def with_open_batch(self) -> Sessions:
        """Return sessions of the same model, edited to take any batch."""
        return self._edited(any_batch=True, exposed=self.exposed)

    def exposing(self, tensor: str) -> Sessions:
        """Return sessions of the same model, with an inner tensor as a further output."""
        return self._edited(any_batch=self.any_batch, exposed=tensor)

    def _edited(self, *, any_batch: bool, exposed: str | None) -> Sessions:
        return Sessions(
            self.model,
            self.providers,
            self.options,
            any_batch=any_batch,
            exposed=exposed,
            devices=self.devices,
        )

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU is the preferred provider."""
        return provider_name(self.providers[0]) == CPU

    def start(self, threads: int) -> None:
        """Make the sessions of all devices that compute with `threads` threads.

        Raises:
            ModelLoadError: ONNX Runtime refuses the model.
            ProviderError: A provider is not available, or could not start.
        """
        for place in range(len(self._places)):
            self.get(threads, place)

    def get(self, threads: int, place: int = 0) -> ort.InferenceSession:
        """Return the session that computes with `threads` threads.

        Args:
            threads: Cores for one run.
            place: Which one of the devices, from 0.

        Raises:
            ModelLoadError: ONNX Runtime refuses the model.
            ProviderError: A provider is not available, or could not start.
        """
        with self._lock:
            if (threads, place) not in self._sessions:
                model = open_batch(self.model) if self.any_batch else self.model
                model = model if self.exposed is None else expose(model, self.exposed)
                providers = self._places[place]
                self._sessions[threads, place] = _open(model, providers, threads, self.options)
            return self._sessions[threads, place]

    def metadata(self, threads: int) -> Mapping[str, str]:
        """Return what the file says about itself, by key.

        Raises:
            ModelLoadError: ONNX Runtime refuses the model.
            ProviderError: A provider is not available, or could not start.
        """
        return dict(self.get(threads).get_modelmeta().custom_metadata_map)

    def run(
        self, threads: int, outputs: Sequence[str], inputs: Mapping[str, Tensor], model: str
    ) -> list[Tensor]:
        """Return the values of `outputs` for `inputs`. Errors name the model as `model`.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        try:
            with self._turns.turn() as place:
                session, options = self.get(threads, place), self._run_options(place)
                if has_devices(self.providers[0]):
                    values = run_bound(session, outputs, inputs, options)
                else:
                    values = session.run(list(outputs), dict(inputs), options)
        except runtime_errors() as error:
            given = ", ".join(f"{value.dtype} {value.shape}" for value in inputs.values())
            raise EmbeddingError(f"model {model!r} failed on input {given}: {error}") from error
        return [np.asarray(value) for value in values]

    def close(self) -> None:
        """Release all sessions. `get` makes them anew."""
        with self._lock:
            self._sessions.clear()

    def __getstate__(self) -> dict[str, object]:
        kept = ("model", "providers", "options", "any_batch", "exposed", "devices")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _prepare(self) -> None:
        self._places = on_each_device(self.providers, self.devices)
        self._turns = DeviceTurns(len(self._places))
        self._sessions: dict[tuple[int, int], ort.InferenceSession] = {}
        self._lock = threading.Lock()

    def _run_options(self, place: int) -> ort.RunOptions | None:
        if not self.options.shrink:
            return None
        cuda = [p for p in self._places[place] if provider_name(p).startswith("CUDA")]
        gpus = [f"gpu:{provider_options(p).get('device_id', 0)}" for p in cuda]
        options = onnx_runtime().RunOptions()
        options.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", ";".join(["cpu:0", *gpus])
        )
        return options


def _open(
    model: str | bytes, providers: Sequence[Provider], threads: int, how: RuntimeOptions
) -> ort.InferenceSession:
    label = f"model of {len(model)} bytes" if isinstance(model, bytes) else f"model {model!r}"
    source = _loadable(model, label)
    options = onnx_runtime().SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = how.arena
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(how.spinning)))
    options.log_severity_level = 3  # errors; warnings speak of the graph's optimisation
    try:
        with CONSTRUCTION:
            session = onnx_runtime().InferenceSession(
                source,
                options,
                providers=[(provider_name(p), dict(provider_options(p))) for p in providers],
                enable_fallback=0,
            )
        _read_texts(session)
    except runtime_errors() as error:
        raise ModelLoadError(
            f"ONNX Runtime cannot load {label}: {_reason(error)}{_remedy(model, error)}"
        ) from error
    unavailable = {provider_name(provider) for provider in providers} - set(session.get_providers())
    if unavailable:
        raise ProviderError(
            f"execution provider {', '.join(sorted(unavailable))} is installed but could not "
            f"start for {label}; its driver or libraries are missing or of the wrong version"
        )
    return session


def _read_texts(session: ort.InferenceSession) -> None:
    """Read the texts of a model that are needed later.

    Raises:
        ValueError: A text is not UTF-8. ONNX Runtime finds it only where it is read.
    """
    for node in (*session.get_inputs(), *session.get_outputs()):
        _ = node.name, node.shape, node.type
    _ = session.get_modelmeta().custom_metadata_map


def _loadable(model: str | bytes, label: str) -> str | bytes:
    """Return what ONNX Runtime is to load.

    Raises:
        ModelLoadError: There is no such file, it is of another format, or a model in
            memory refers to weights in a file.
    """
    if isinstance(model, bytes):
        format_ = other_format(model) or text_instead(model)
        beside = [] if format_ else external_locations(model)
        if beside:
            # ONNX Runtime would read it from whatever folder the process is in.
            raise ModelLoadError(
                f"{label} has weights in another file, {beside[0]!r}: expected the model's path, "
                "beside which that file is"
            )
        source: str | bytes = model
    elif os.path.isfile(model):
        format_ = other_format_of(model) or text_instead(model)
        source = model if format_ else loadable_path(model)
    else:
        what = "is a folder" if os.path.isdir(model) else "does not exist"
        raise ModelLoadError(
            f"{label} {what}: expected the path of an .onnx file{_about_names(model)}"
        )
    if format_:
        raise ModelLoadError(f"{label} is {format_}")
    return source


def _about_names(model: str) -> str:
    """Return what a caller needs who gave the name of a model instead of a file."""
    name = os.path.basename(model)
    if name in bundled_models():
        return f". That model comes with the package: use OnnxEmbedder.bundled({name!r})"
    if os.path.splitext(name)[1] == ".onnx" or os.path.isdir(model):
        return ""
    return (
        f". If {name!r} is a model's name: OnnxEmbedder.bundled(...) has "
        f"{' and '.join(bundled_models())}, and OnnxEmbedder.hub(...) those that `onnxsearch "
        "models get` has downloaded; docs/how-to/exporting.md describes how to get other files"
    )


def _reason(error: Exception) -> str:
    """Return ONNX Runtime's message, without the position in its source."""
    return _SOURCE_POSITIONS.sub("", str(error)).strip()


def _remedy(model: str | bytes, error: Exception) -> str:
    """Return what to do about an error of loading, as the end of a message; or nothing."""
    if isinstance(model, str):
        for path in _weights(model):
            if format_ := other_format_of(path):
                return f". Its weights {str(path)!r} are {format_}"
    return next((f": {advice}" for part, advice in _ADVICE.items() if part in str(error)), "")


def _weights(model: str) -> Sequence[Path]:
    try:
        return list(external_data(model).values())
    except ModelLoadError:  # ONNX Runtime has given a reason already
        return []
