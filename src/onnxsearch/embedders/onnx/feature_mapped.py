"""Embedders that also give the feature map of their model, from which regions are pooled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import check_name, instance, text
from onnxsearch.embedders.base import Embedder, Tensor
from onnxsearch.embedders.description import REGIONS
from onnxsearch.embedders.onnx.feature_maps import find_feature_map
from onnxsearch.embedders.onnx.gathering import GatheredRuns
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.signature import ImageInputSpec
from onnxsearch.embedders.regions import RegionModel, regions_name
from onnxsearch.errors import InvalidArgumentError, ModelOutputError
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.types import JSONValue, Region, Vectors

if TYPE_CHECKING:
    from PIL import Image

_LARGEST = 4096
"""Channels, and cells on a side, of a feature map at most: more is a mistake."""


def check_regions(wanted: bool | str) -> bool | str:
    """Return which regions are wanted: True, False or those of an inner tensor.

    Raises:
        InvalidArgumentError: It is something else.
    """
    expected = "True, False or the name of a tensor"
    instance("regions", wanted, (bool, str), expected)
    return text("regions", wanted, expected) if isinstance(wanted, str) else wanted


class FeatureMapped(Embedder):
    """An embedder of a model whose graph has a feature map.

    A subclass sets the model, the profile and the output.
    """

    _model: ImageModel
    _profile: PreprocessingProfile
    _output: str
    _gathered: GatheredRuns | None = None
    """Runs the batches of several threads together; None if each is run by itself."""
    _layer: str | None = None
    """The inner tensor that regions are pooled from; None if they are not wanted."""

    @abstractmethod
    def pool(self, output: Tensor) -> Tensor:
        """Turn the model's output (n, ...) into vectors (n, dimension)."""

    @property
    def input(self) -> ImageInputSpec:
        """What the model is fed: layout, number type, and what sizes it fixes."""
        return self._model.input

    @property
    def profile(self) -> PreprocessingProfile:
        """The `PreprocessingProfile` in use."""
        return self._profile

    @property
    def output(self) -> str:
        """Name of the model's output in use."""
        return self._output

    @property
    def regions(self) -> RegionModel | None:
        """The vectors of regions, as a model that is searched; None if they are not wanted."""
        if self._layer is None:
            return None
        return RegionModel(self, self._profile.resized, self._profile.size, self._layer)

    def embed_with_map(self, tensors: Sequence[Tensor]) -> tuple[Vectors, Tensor]:
        """Return the vectors of n images, and their feature maps, of one run of the model.

        Args:
            tensors: At least one, from `prepare`.

        Returns:
            The vectors, (n, dimension), and the maps, (n, channels, height, width).

        Raises:
            EmbeddingError: The model gave no usable vectors.
            InvalidArgumentError: The embedder was made without `regions`.
        """
        if self._layer is None:
            raise InvalidArgumentError(
                f"model {self.name!r} gives no feature maps: expected OnnxEmbedder(regions=True)"
            )
        pooled, maps = self._values(np.stack(tensors), [self._output, self._layer])
        return self._checked(self.pool(pooled), len(tensors)), maps

    def _values(self, batch: Tensor, outputs: Sequence[str]) -> Sequence[Tensor]:
        """Return the values of each output for n images, (n, ...); see `GatheredRuns`.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        run = self._model.run_several if self._gathered is None else self._gathered
        return run(batch, outputs)

    def seen_part(self, image: Image.Image) -> Region:
        """Return which part of an image the model sees; see `PreprocessingProfile.seen_part`."""
        return self._profile.seen_part(image)

    def _region_settings(self) -> dict[str, JSONValue]:
        """Return what a description says of the regions."""
        return {} if self._layer is None else {REGIONS: self._layer}

    def _expose(self, wanted: bool | str, probes: Tensor) -> None:
        """Have the model give a feature map with each vector, if regions are wanted.

        Args:
            wanted: True for the map before the last reduction of the resolution, the name of an
                inner tensor, or False.
            probes: Images as the model is fed, to see whether it is a map.

        Raises:
            ModelOutputError: There is no such map; the message says what to do.
            MissingExtraError: The package onnx is not installed.
        """
        if not wanted:
            return
        check_name(regions_name(self.name))
        layer = wanted
        if not isinstance(layer, str):
            shape = (1, *self._model.input.shape(self._profile.size))
            layer = find_feature_map(self._model.sessions.model, shape)
        model = self._model.exposing(layer)
        _, maps = model.run_several(probes, [self._output, layer])
        if maps.ndim != 4 or max(maps.shape[1:]) > _LARGEST or maps.dtype.kind != "f":
            raise ModelOutputError(
                f"regions={layer!r:.200} is {maps.dtype} of shape {list(maps.shape)}: expected a "
                "feature map of floating point numbers, (n, channels, height, width)"
            )
        self._model, self._layer = model, layer
