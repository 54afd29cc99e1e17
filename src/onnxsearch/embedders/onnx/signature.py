"""Inputs and outputs of an image model, read from its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.onnx.pooling import POOLINGS, Pooling, squeezed
from onnxsearch.errors import ModelLoadError, ModelOutputError
from onnxsearch.images.preprocessing.profile import Layout
from onnxsearch.images.resize import Size

PREFERRED_OUTPUTS = ("image_embeds", "pooler_output", "embedding", "output_0")
"""Outputs taken first where several could be the vector: the names that exporters of
Hugging Face models, our own models and tf2onnx give it."""

_INPUT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}
_OUTPUT_TYPES = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})


class Node(Protocol):
    """An input or output, as ONNX Runtime describes it."""

    @property
    def name(self) -> str:
        """Its name in the graph."""
        ...

    @property
    def shape(self) -> Sequence[int | str | None]:
        """Its dimensions; those that are not numbers are open."""
        ...

    @property
    def type(self) -> str:
        """Its type, such as `tensor(float)`."""
        ...


@dataclass(frozen=True, slots=True)
class ImageInputSpec:
    """What the model is fed."""

    name: str
    layout: Layout
    dtype: Literal["float32", "float16"]
    batch: int | None
    """Pictures per run, where the graph fixes it."""
    height: int | None
    """Pixels, where the graph fixes it."""
    width: int | None
    """Pixels, where the graph fixes it."""

    def shape(self, size: Size) -> tuple[int, ...]:
        """Return the shape of one picture of the given (height, width)."""
        return (3, *size) if self.layout == "NCHW" else (*size, 3)

    def filled(self, batch: Tensor) -> Tensor:
        """Return `batch`, filled up with zeros where the graph fixes its length."""
        missing = 0 if self.batch is None else self.batch - len(batch)
        if missing <= 0:
            return batch
        return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


def read_input(inputs: Sequence[Node]) -> ImageInputSpec:
    """Find out how the model's only input takes pictures.

    Raises:
        ModelLoadError: It does not take pictures: several inputs, another number of
            axes, or no axis for three colours.
    """
    if len(inputs) != 1:
        names = ", ".join(repr(node.name) for node in inputs)
        raise ModelLoadError(
            f"the model has {len(inputs)} inputs ({names}): expected one, the picture. Of a "
            "model for text and images take the image tower alone: Hugging Face's ONNX "
            "repositories have it as vision_model.onnx"
        )
    node = inputs[0]
    dtype = _INPUT_TYPES.get(node.type)
    # Open sizes have names, or are None; some converters write -1.
    shape = [size if isinstance(size, int) and size > 0 else None for size in node.shape]
    if dtype is None or len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise ModelLoadError(
            f"input {node.name!r} is {node.type} {list(node.shape)}: expected float or float16, "
            "(n, 3, height, width) or (n, height, width, 3)"
        )
    layout: Layout = "NCHW" if shape[1] == 3 else "NHWC"
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    return ImageInputSpec(
        name=node.name,
        layout=layout,
        dtype="float16" if dtype == "float16" else "float32",
        batch=shape[0],
        height=height,
        width=width,
    )


def fixed_shapes(outputs: Sequence[Node]) -> dict[str, tuple[int, ...]] | None:
    """Return the outputs' shapes for one picture; None if the graph leaves them open."""
    shapes: dict[str, tuple[int, ...]] = {}
    for node in outputs:
        sizes = [size for size in node.shape[1:] if isinstance(size, int) and size > 0]
        if not node.shape or len(sizes) != len(node.shape) - 1:
            return None
        shapes[node.name] = (1, *sizes)
    return shapes


def floating(outputs: Sequence[Node]) -> list[Node]:
    """Return the outputs that hold floating point numbers."""
    return [node for node in outputs if node.type in _OUTPUT_TYPES]


def choose_output(
    shapes: Mapping[str, tuple[int, ...]],
    output: str | None,
    pooling: Pooling | None,
    preferred: Sequence[str] = PREFERRED_OUTPUTS,
) -> str:
    """Return the name of the output that holds the vector.

    Args:
        shapes: Shape of every output for one picture.
        output: The caller's choice.
        pooling: The caller's choice: with pooling, tokens and feature maps are
            meant, without it, vectors.
        preferred: Names taken first where several outputs could be meant.

    Raises:
        ModelOutputError: There is no such output, or several could be meant.
    """
    listed = ", ".join(f"{name!r} {list(shape)}" for name, shape in shapes.items())
    if output is not None:
        if output not in shapes:
            raise ModelOutputError(f"the model has no output {output!r}; it has {listed}")
        return output
    vectors = [name for name, shape in shapes.items() if len(squeezed(shape)) == 2]
    poolable = [name for name, shape in shapes.items() if len(shape) in POOLINGS]
    candidates = (poolable or vectors) if pooling else (vectors or poolable)
    usual = [name for name in preferred if name in candidates]
    if usual:
        return usual[0]
    if len(candidates) == 1:
        return candidates[0]
    reason = "several could hold the vector" if candidates else "none can hold a vector"
    raise ModelOutputError(f"{reason}; say output=... The model's outputs: {listed}")
