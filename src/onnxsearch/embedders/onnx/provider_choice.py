"""Which execution provider runs a model: decided once, and never silently."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from onnxsearch.embedders.onnx.providers import (
    AUTO,
    CPU,
    CUDA,
    Provider,
    checked_devices,
    checked_providers,
    on_each_device,
    provider_name,
    provider_options,
)
from onnxsearch.embedders.onnx.session import (
    CONSTRUCTION,
    RuntimeOptions,
    Sessions,
    onnx_runtime,
    runtime_errors,
)
from onnxsearch.errors import ModelLoadError, ProviderError

logger = logging.getLogger("onnxsearch")

_SUM = bytes.fromhex(
    "08081200"  # version 8 of the format, no producer
    "3a350a0e0a01780a017812017922034164641201675a"  # y = Add(x, x)
    "0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a020801"  # float32, (1,)
    "42040a00100d"  # operators of version 13
)
"""A model that adds a number to itself: all that a provider has to do to be of use."""


def start_sessions(
    model: str | bytes,
    providers: str | Sequence[Provider],
    options: RuntimeOptions,
    threads: int,
    device_ids: Sequence[int] | None = None,
) -> Sessions:
    """Return the sessions of a model, started on each device.

    What runs the model is decided here, once. If it fails later, that is an error, and no
    other provider takes its place.

    Args:
        model: Absolute path of the model, or its bytes.
        providers: Execution providers, the preferred one first; or `auto`, which is CUDA
            where it starts, else the CPU. TensorRT and MIGraphX compile a model for minutes,
            CoreML and OpenVINO may compute in float16, and DirectML takes one thread at a
            time: these are used if they are named.
        options: How the machine is used.
        threads: Cores for one run.
        device_ids: The GPUs by number; None for what the provider takes by default.

    Raises:
        ModelLoadError: ONNX Runtime refuses the model.
        ProviderError: No provider is named, one is not installed, or does not start.
        InvalidArgumentError: An argument is of another type, or the provider has no devices.
    """
    devices = checked_devices(device_ids)
    auto = isinstance(providers, str) and providers == AUTO
    chosen = _first_that_starts(devices) if auto else _installed(providers)
    sessions = Sessions(model, chosen, options, devices=devices)
    try:
        sessions.start(threads)
    except ModelLoadError as error:
        # ONNX Runtime reports a device that is not there as if the model were at fault.
        _check_starts(on_each_device(chosen, devices), error)
        raise
    name = provider_name(chosen[0])
    logger.info("execution provider %s is used", name, extra={"provider": name})
    return sessions


def why_not(provider: Provider) -> str | None:
    """Run a tiny model on a provider, and return why that fails; None if it works.

    That a provider is installed says little: its driver may be missing or too old, or there is
    no device.

    Args:
        provider: The provider, alone or with its options.
    """
    runtime, name = onnx_runtime(), provider_name(provider)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails is returned
    if name != CPU:
        # Or ONNX Runtime would leave to the CPU what the provider does not compute.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    given = (name, dict(provider_options(provider)))
    try:
        with CONSTRUCTION:
            session = runtime.InferenceSession(_SUM, options, providers=[given], enable_fallback=0)
        if name not in session.get_providers():
            return "its driver or libraries are missing or of the wrong version"
        (total,) = session.run(None, {"x": np.ones(1, np.float32)})
    except runtime_errors() as error:
        return str(error)
    return None if total.tolist() == [2.0] else f"on it, 1 and 1 are {total.tolist()}"


def installed_providers() -> list[str]:
    """Return the names of the providers that ONNX Runtime was built with."""
    return [str(name) for name in onnx_runtime().get_available_providers()]


def _first_that_starts(devices: Sequence[int]) -> tuple[Provider, ...]:
    """Return what `auto` stands for on this machine.

    Raises:
        ProviderError: There are devices to be used, and no provider to use them.
    """
    cuda = on_each_device([CUDA], devices)
    reason: str | None = "it is not installed; it comes with the package onnxruntime-gpu"
    if CUDA in installed_providers():
        failures = [why_not(provider) for (provider,) in cuda]
        reason = next(filter(None, failures), None)
    if reason is None:
        return CUDA, CPU
    if devices:
        raise ProviderError(
            f"device_ids={list(devices)} are of GPUs, and {CUDA} does not start: {reason}. "
            "Leave out device_ids to use the CPU"
        )
    logger.info("providers='auto': %s does not start: %s", CUDA, reason)
    return (CPU,)


def _installed(providers: str | Sequence[Provider]) -> tuple[Provider, ...]:
    """Return `providers` as a tuple, if all of them are installed.

    ONNX Runtime itself would print a line and go on with the CPU.

    Raises:
        ProviderError: A provider is not installed, or none is named.
    """
    asked, available = checked_providers(providers), installed_providers()
    missing = [name for name in map(provider_name, asked) if name not in available]
    if missing or not asked:
        raise ProviderError(
            f"execution provider {', '.join(missing) or '(none)'} is not available here; "
            f"installed: {', '.join(available)}. CUDA and TensorRT come with the package "
            "onnxruntime-gpu, which replaces onnxruntime"
        )
    return asked


def _check_starts(sessions: Sequence[Sequence[Provider]], error: ModelLoadError) -> None:
    """Raise if it is a provider that fails, and not the model.

    Raises:
        ProviderError: A provider does not start.
    """
    for provider in (provider for providers in sessions for provider in providers):
        name = provider_name(provider)
        if name != CPU and (reason := why_not(provider)) is not None:
            options = dict(provider_options(provider))
            raise ProviderError(
                f"execution provider {name}{f' with {options}' if options else ''} does not "
                f"start: {reason}"
            ) from error
