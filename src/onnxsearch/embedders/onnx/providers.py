"""Execution providers: their names, their options, and the devices they run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from onnxsearch._internal.validation import integer, items
from onnxsearch.errors import InvalidArgumentError

Provider: TypeAlias = "str | tuple[str, Mapping[str, str]]"
"""Name of an execution provider, alone or with its options."""

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

AUTO = "auto"
"""Stands for CUDA where it starts, else for the CPU."""

_ON_DEVICES = frozenset(
    {
        CUDA,
        "TensorrtExecutionProvider",
        "MIGraphXExecutionProvider",
        "DmlExecutionProvider",
        "CANNExecutionProvider",
    }
)
"""Providers with an option `device_id`, whose devices have memory of their own."""

_PROVIDERS = f"{AUTO!r}, or names of execution providers, each alone or as (name, options)"
_DEVICE_IDS = "numbers of GPUs, each of them once, such as [0, 1]"


def provider_name(provider: Provider) -> str:
    """Return the name of a provider, whether it has options or not."""
    return provider if isinstance(provider, str) else provider[0]


def provider_options(provider: Provider) -> Mapping[str, str]:
    """Return the options of a provider."""
    return {} if isinstance(provider, str) else provider[1]


def has_devices(provider: Provider) -> bool:
    """Return whether a provider computes on devices, such as GPUs, that have their own memory."""
    return provider_name(provider) in _ON_DEVICES


def checked_providers(providers: str | Sequence[Provider]) -> tuple[Provider, ...]:
    """Return `providers` as a tuple.

    Raises:
        InvalidArgumentError: They are not names, each alone or with options.
    """
    asked: list[Provider] = (
        [providers] if isinstance(providers, str) else items("providers", providers, _PROVIDERS)
    )
    if not all(map(_is_provider, asked)):
        raise InvalidArgumentError(f"providers {providers!r:.80}: expected {_PROVIDERS}")
    return tuple(asked)


def checked_devices(device_ids: Sequence[int] | None) -> tuple[int, ...]:
    """Return the numbers of GPUs; none for the provider's default.

    Raises:
        InvalidArgumentError: They are not numbers, or one is there twice.
    """
    if device_ids is None:
        return ()
    given = items("device_ids", device_ids, _DEVICE_IDS)
    numbers = tuple(integer("device_ids", each, least=0) for each in given)
    if not numbers or len(set(numbers)) < len(numbers):
        raise InvalidArgumentError(f"device_ids {given!r:.80}: expected {_DEVICE_IDS}")
    return numbers


def on_each_device(
    providers: Sequence[Provider], devices: Sequence[int]
) -> list[tuple[Provider, ...]]:
    """Return the providers of one session for each device; without devices, of a single one.

    Args:
        providers: The providers, the preferred one first.
        devices: See `checked_devices`.

    Raises:
        InvalidArgumentError: The preferred provider has no devices, or a provider's options
            name one already.
    """
    if not devices:
        return [tuple(providers)]
    if not has_devices(providers[0]):
        raise InvalidArgumentError(
            f"device_ids are of GPUs, and {provider_name(providers[0])} has none: expected one of "
            f"{', '.join(sorted(_ON_DEVICES))} as the first of providers, or no device_ids"
        )
    if any("device_id" in provider_options(provider) for provider in providers):
        raise InvalidArgumentError(
            "device_ids, and an option device_id of a provider: expected one of the two"
        )
    return [tuple(_on_device(providers, device)) for device in devices]


def _on_device(providers: Sequence[Provider], device: int) -> Iterator[Provider]:
    for provider in providers:
        name, options = provider_name(provider), provider_options(provider)
        yield (name, {**options, "device_id": str(device)}) if has_devices(provider) else provider


def _is_provider(provider: object) -> bool:
    match provider:
        case str() | (str(), Mapping()):
            return True
        case _:
            return False
