"""The feature map of a model that the vectors of regions are pooled from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxsearch.embedders.onnx.editing import find_feature_map
from onnxsearch.errors import ModelOutputError

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Tensor
    from onnxsearch.embedders.onnx.image_model import ImageModel
    from onnxsearch.images.resize import Size

_LARGEST = 4096
"""Channels, and cells on a side, of a feature map at most: more is a mistake."""


def feature_map(model: ImageModel, size: Size, wanted: bool | str) -> str:
    """Return the name of the inner tensor that regions are pooled from.

    Args:
        model: The model.
        size: (height, width) of the images that it is fed.
        wanted: True for the usual one, or a name.

    Raises:
        ModelOutputError: None is found; the message says what to do.
        MissingExtraError: The package onnx is not installed.
    """
    if isinstance(wanted, str):
        return wanted
    return find_feature_map(model.sessions.model, (1, *model.input.shape(size)))


def check_map(model: ImageModel, probes: Tensor, output: str, layer: str) -> None:
    """Run the model, and check that a tensor is a feature map, and leaves the vectors as they are.

    Args:
        model: The model, which gives both.
        probes: Images as it is fed.
        output: The output that holds its vector.
        layer: The inner tensor.

    Raises:
        ModelOutputError: It is not.
        EmbeddingError: ONNX Runtime failed.
    """
    _, maps = model.run_several(probes, [output, layer])
    fits = maps.ndim == 4 and max(maps.shape[1:]) <= _LARGEST and maps.dtype.kind == "f"
    if not fits:
        raise ModelOutputError(
            f"regions={layer!r:.200} is {maps.dtype} of shape {list(maps.shape)}: expected a "
            "feature map of floating point numbers, (n, channels, height, width)"
        )
