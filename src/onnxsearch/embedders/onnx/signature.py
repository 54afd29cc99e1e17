"""Inputs and outputs of an image model, read from its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from onnxsearch._internal.validation import text
from onnxsearch.embedders.onnx.axes import find_layout
from onnxsearch.embedders.onnx.pooling import POOLINGS, Pooling, squeezed
from onnxsearch.errors import ModelLoadError, ModelOutputError
from onnxsearch.images.preprocessing.profile import Layout
from onnxsearch.images.resize import MAX_SIDE, Size

PREFERRED_OUTPUTS = ("image_embeds", "pooler_output", "embedding", "output_0")
"""Outputs taken first where several could be the vector: the names that exporters of
Hugging Face models, our own models and tf2onnx use."""

InputType: TypeAlias = Literal["float32", "float16", "uint8"]

_INPUT_TYPES: Mapping[str, InputType] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
}
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
    dtype: InputType
    batch: int | None
    """Images per run, where the graph fixes it."""
    height: int | None
    """Pixels, where the graph fixes it."""
    width: int | None
    """Pixels, where the graph fixes it."""

    def shape(self, size: Size) -> tuple[int, ...]:
        """Return the shape of one image of the given (height, width)."""
        return (3, *size) if self.layout == "NCHW" else (*size, 3)


@dataclass(frozen=True, slots=True)
class OutputShape:
    """The shape of an output for one image."""

    sizes: tuple[int, ...]
    per_image: bool
    """Whether the first axis is the batch, so that every image has a row."""


def read_input(
    inputs: Sequence[Node], layout: Layout | None = None, usual: Layout | None = None
) -> ImageInputSpec:
    """Return how the model's only input takes images.

    Args:
        inputs: The model's inputs.
        layout: The order of axes that the caller states.
        usual: The order of axes that models of this profile usually have, for graphs
            that leave it open.

    Raises:
        ModelLoadError: The model does not take images: several inputs, another number
            of axes, or no axis for three colours. Or the order of axes is unclear.
    """
    if len(inputs) != 1:
        raise ModelLoadError(_several(inputs))
    node = inputs[0]
    dtype = _INPUT_TYPES.get(node.type)
    # Without any axes in the file, everything about them is open.
    axes = node.shape or [None] * 4
    if dtype is None or len(axes) != 4:
        raise ModelLoadError(
            f"input {node.name!r} is {node.type} {list(node.shape)}: expected float, float16 or "
            "uint8, with axes (n, 3, height, width) or (n, height, width, 3)"
        )
    found = find_layout(node.name, axes, layout, usual)
    sizes = fixed_sizes(axes)
    height, width = sizes[2:] if found == "NCHW" else sizes[1:3]
    if max(height or 0, width or 0) > MAX_SIDE:
        raise ModelLoadError(
            f"input {described(node)}: expected at most {MAX_SIDE} pixels on a side"
        )
    return ImageInputSpec(node.name, found, dtype, sizes[0], height, width)


def described(node: Node) -> str:
    """Return name, type and shape of an input or output, for messages."""
    return f"{node.name!r} {node.type} {list(node.shape)}"


def floating(outputs: Sequence[Node]) -> list[Node]:
    """Return the outputs that hold floating point numbers."""
    return [node for node in outputs if node.type in _OUTPUT_TYPES]


def choose_output(
    outputs: Sequence[Node],
    shapes: Mapping[str, OutputShape],
    output: str | None,
    pooling: Pooling | None,
    preferred: Sequence[str] = PREFERRED_OUTPUTS,
) -> str:
    """Return the name of the output that holds the vector.

    Args:
        outputs: All of the model's outputs.
        shapes: Shape of every output of floating point numbers, for one image.
        output: The caller's choice.
        pooling: The caller's choice: with pooling, tokens and feature maps are
            meant, without it, vectors.
        preferred: Names taken first where several outputs could be meant.

    Raises:
        ModelOutputError: There is no such output, it cannot hold vectors, or several
            could be meant.
        InvalidArgumentError: `output` is not a name.
    """
    listed = listed_outputs(outputs, shapes)
    if output is not None:
        text("output", output, "the name of an output")
        if output not in shapes:
            wrong = next((node for node in outputs if node.name == output), None)
            if wrong is not None:
                raise ModelOutputError(
                    f"output {described(wrong)}: expected floating point numbers. The model's "
                    f"outputs: {listed}"
                )
            raise ModelOutputError(f"the model has no output {output!r}; it has {listed}")
        if not shapes[output].per_image:
            raise ModelOutputError(
                f"output {output!r} has the shape {list(shapes[output].sizes)} for one image: "
                f"expected a first axis for the batch. The model's outputs: {listed}"
            )
        return output
    usable = {name: shape.sizes for name, shape in shapes.items() if shape.per_image}
    vectors = [name for name, shape in usable.items() if len(squeezed(shape)) == 2]
    poolable = [name for name, shape in usable.items() if len(shape) in POOLINGS]
    candidates = (poolable or vectors) if pooling else (vectors or poolable)
    usual = [name for name in preferred if name in candidates]
    if usual:
        return usual[0]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ModelOutputError(
            f"several outputs could hold the vector; choose with output=... The model's "
            f"outputs: {listed}"
        )
    raise ModelOutputError(
        "no output can hold a vector: expected floating point numbers with axes (n, dimension), "
        "(n, tokens, dimension) or a feature map of four axes. Export the model with such an "
        f"output. The model's outputs for one image: {listed}"
    )


def listed_outputs(outputs: Sequence[Node], shapes: Mapping[str, OutputShape]) -> str:
    """Return all outputs with their shapes for one image, or types that hold no vectors."""
    return ", ".join(
        f"{node.name!r} {list(shapes[node.name].sizes)}" if node.name in shapes else described(node)
        for node in outputs
    )


def fixed_sizes(axes: Sequence[int | str | None]) -> list[int | None]:
    """Return the sizes of axes; None where the graph leaves a size open."""
    # Open sizes have names, or are None; some converters write -1.
    return [size if isinstance(size, int) and size > 0 else None for size in axes]


def _several(inputs: Sequence[Node]) -> str:
    """Return why a model with these inputs, or none, cannot be used."""
    listed = ", ".join(map(described, inputs))
    images = [node for node in inputs if len(node.shape) == 4]
    if any(node.name in ("input_ids", "attention_mask") for node in inputs):
        remedy = (
            "of a model for text and images take the image model alone: Hugging Face's ONNX "
            "repositories have it as vision_model.onnx"
        )
    elif len(images) > 1:
        remedy = "export the part that turns a single image into a vector"
    else:
        remedy = (
            "export the model for inference with a single input, so that the others are "
            "constants of the graph"
        )
    return (
        f"the model has {len(inputs)} inputs ({listed}): expected exactly 1, the image. "
        f"{remedy[0].upper()}{remedy[1:]}"
    )
