"""The first run of an image model: the shapes of its outputs, and the choice of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.onnx.pooling import Pooling
from onnxsearch.embedders.onnx.signature import (
    ImageInputSpec,
    Node,
    OutputShape,
    choose_output,
    listed_outputs,
)
from onnxsearch.images.preprocessing.profile import PreprocessingProfile

_BLOCKS = 4
"""Blocks on each side of the image with contrasts, so that averaging leaves some of them."""


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What a model gave for a single image."""

    nodes: Sequence[Node]
    """All outputs of the model."""
    values: Mapping[str, Tensor]
    """Values of the outputs of floating point numbers, by name."""
    batch: int
    """Length of the batch: 1, or what the graph fixes."""

    @property
    def shapes(self) -> dict[str, OutputShape]:
        """Shapes of the outputs of floating point numbers, by name."""
        return {
            name: OutputShape((1, *value.shape[1:]), per_image=True)
            if value.shape[:1] == (self.batch,)
            else OutputShape(value.shape, per_image=False)
            for name, value in self.values.items()
        }

    def choose(self, output: str | None, pooling: Pooling | None) -> str:
        """Return the name of the output that holds the vector.

        Raises:
            ModelOutputError: See `choose_output`.
        """
        return choose_output(self.nodes, self.shapes, output, pooling)

    def listed(self) -> str:
        """Return all outputs with their shapes, for messages."""
        return listed_outputs(self.nodes, self.shapes)

    def image_values(self, output: str) -> Tensor:
        """Return the values of `output` for the image, (1, ...)."""
        return self.values[output][:1]


def model_input(profile: PreprocessingProfile, image: Image.Image, spec: ImageInputSpec) -> Tensor:
    """Return what a model is fed for a loaded image, without batch axis.

    Raises:
        UnsupportedImageError: The image cannot be converted to RGB.
        ProfileError: The arithmetic leaves the range of the number type.
    """
    if spec.dtype != "uint8":
        return profile.apply(image, spec.layout, spec.dtype)
    # Without steps, which such a model does not take, the numbers are whole.
    return profile.apply(image, spec.layout).astype(np.uint8)


def probe_images(profile: PreprocessingProfile, spec: ImageInputSpec) -> Tensor:
    """Return two images as a model is fed them, always the same: (2, ...).

    The first has contrasts and colours of the whole range, the second is pale noise. So
    they differ in the range of values at every scale, down to a single average.
    """
    generator = np.random.default_rng(0)
    height, width = profile.size
    noise = generator.integers(0, 80, (height, width, 3), np.uint8)
    bright = generator.random((_BLOCKS, _BLOCKS, 3)) < (0.9, 0.5, 0.1)  # reddish
    rows, columns = (np.arange(side) * _BLOCKS // side for side in (height, width))
    contrasts = np.where(bright[rows][:, columns], 255 - noise, noise)
    images = [contrasts, noise // 4 + 118]
    return np.stack([model_input(profile, Image.fromarray(each), spec) for each in images])
