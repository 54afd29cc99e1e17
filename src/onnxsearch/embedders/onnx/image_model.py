"""An ONNX model that takes pictures: what it takes, what it gives, and how it is run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.onnx.editing import onnx_is_installed
from onnxsearch.embedders.onnx.session import Sessions
from onnxsearch.embedders.onnx.signature import ImageInputSpec, fixed_shapes, floating, read_input
from onnxsearch.errors import EmbeddingError, ModelLoadError
from onnxsearch.images.resize import Size


class ImageModel:
    """An ONNX model that takes pictures, of whatever batch, as if it took any number.

    Args:
        sessions: The model's.
        threads: Cores for one run.
        label: The model's name in errors.

    Attributes:
        input: What it is fed.
        metadata: What the file says about itself.

    Raises:
        ModelLoadError: ONNX Runtime refuses it, or it takes no pictures.
        ProviderError: A provider is not available.
    """

    def __init__(self, sessions: Sessions, threads: int, label: str) -> None:
        self.sessions = sessions
        self.threads = threads
        self._label = label
        session = sessions.get(threads)
        self.input: ImageInputSpec = read_input(session.get_inputs())
        self.metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    def with_threads(self, threads: int) -> ImageModel:
        """Return the same model, run on `threads` cores."""
        sibling = copy.copy(self)
        sibling.threads = threads
        return sibling

    def output_shapes(self, size: Size) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all outputs for one picture of the given (height, width).

        Raises:
            ModelLoadError: They are open, and a first run failed.
        """
        outputs = floating(self.sessions.get(self.threads).get_outputs())
        shapes = fixed_shapes(outputs)
        if shapes is not None:
            return shapes
        zeros = np.zeros((1, *self.input.shape(size)), self.input.dtype)
        names = [node.name for node in outputs]
        try:
            values = self._outputs(names, self.input.filled(zeros))
        except EmbeddingError as error:
            raise ModelLoadError(f"a first run of the model on zeros failed: {error}") from error
        return {name: (1, *value.shape[1:]) for name, value in zip(names, values, strict=True)}

    def run(self, batch: Tensor, output: str) -> Tensor:
        """Return the values of `output` for n pictures, (n, ...).

        A model that fixes its batch is run as often as it takes, the last time filled
        up with zeros.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        size = self.input.batch or max(1, len(batch))
        values = [
            self._outputs([output], self.input.filled(batch[start : start + size]))[0]
            for start in range(0, max(1, len(batch)), size)
        ]
        return np.concatenate(values)[: len(batch)]

    def with_open_batch(self, size: Size, output: str) -> ImageModel:
        """Return a model that takes any batch, where this one takes one picture.

        The graph is edited in memory. It is used only if two random pictures together
        give what each gives alone; otherwise this is the model itself, as it is if
        `RuntimeOptions.open_batch` says so.

        Args:
            size: (height, width) of what the model is fed.
            output: The output in use.

        Raises:
            MissingExtraError: It was asked for, and the package onnx is not installed.
        """
        wanted = self.sessions.options.open_batch
        if wanted is None:
            wanted = not self.sessions.on_cpu and onnx_is_installed()
        if self.input.batch != 1 or not wanted:
            return self
        opened = copy.copy(self)
        opened.sessions = self.sessions.with_open_batch()
        opened.input = replace(self.input, batch=None)
        shape = (2, *self.input.shape(size))
        pair = np.random.default_rng(0).normal(size=shape).astype(self.input.dtype)
        try:
            alone, together = self.run(pair, output), opened.run(pair, output)
        except (EmbeddingError, ModelLoadError):
            return self
        return opened if _agree(alone, together) else self

    def _outputs(self, names: list[str], batch: Tensor) -> list[Tensor]:
        return self.sessions.run(self.threads, names, {self.input.name: batch}, self._label)


def _agree(alone: Tensor, together: Tensor) -> bool:
    """Whether two rows are the same in both, to a thousandth of what sets them apart."""
    if alone.shape != together.shape:
        return False
    singles, pair = alone.astype(np.float64), together.astype(np.float64)
    apart = np.abs(singles[0] - singles[1]).max()
    return bool(np.abs(singles - pair).max() <= 1e-3 * apart > 0)
