"""Runs on a device that has memory of its own, with inputs and outputs bound to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxsearch.embedders.base import Tensor

if TYPE_CHECKING:
    import onnxruntime as ort


def run_bound(
    session: ort.InferenceSession,
    outputs: Sequence[str],
    inputs: Mapping[str, Tensor],
    options: ort.RunOptions | None,
) -> list[Tensor]:
    """Return what `session.run` returns, with the copies to and from the device around the run.

    ONNX Runtime copies an input when it is bound, to where the first operator reads it, and an
    output into memory of the host, whatever its shape turns out to be. The memory on the device
    comes from the session's arena, which gives runs of one shape the same memory again.

    Several threads may call this at once: a binding holds the values of a run, so that each run
    has one of its own, and what is returned is a copy. Making a binding takes some microseconds.

    Args:
        session: The session.
        outputs: Names of the outputs.
        inputs: Values by name.
        options: Options of this run.

    Raises:
        RuntimeError: ONNX Runtime failed, or takes no such values.
    """
    binding = session.io_binding()
    for name, values in inputs.items():
        binding.bind_cpu_input(name, values)
    for name in outputs:
        # By name only: an output may have another shape in each run.
        binding.bind_output(name)
    session.run_with_iobinding(binding, options)
    bound: list[Tensor] = binding.copy_outputs_to_cpu()
    return bound
