"""An ONNX image model: what it takes, what it gives, and how it is run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.onnx.editing import onnx_is_installed
from onnxsearch.embedders.onnx.first_run import FirstRun
from onnxsearch.embedders.onnx.session import Sessions
from onnxsearch.embedders.onnx.signature import (
    ImageInputSpec,
    Node,
    floating,
    read_input,
)
from onnxsearch.errors import EmbeddingError, ModelLoadError
from onnxsearch.images.preprocessing.profile import Layout

_OTHER_LAYOUT: Mapping[Layout, Layout] = {"NCHW": "NHWC", "NHWC": "NCHW"}

_LARGEST_BATCH = 1 << 30
"""Bytes of copies that fill a batch, at most: more is a mistake, or meant to fill memory."""

_CPU_TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "uint8": 1e-4}
_OTHER_TOLERANCE = 1e-2
"""How far the values for an image may change with the images beside it, in relation to
the largest of them. Sums in another order change float32 by some 1e-6; GPUs compute with
other kernels, and in TF32, as the batch grows. Quantisation by the whole batch's range
changes values by 1e-3 and more."""


class ImageModel:
    """An ONNX model that takes images, any number of them whatever its graph fixes.

    Args:
        sessions: The model's sessions.
        threads: Cores for one run.
        label: The model's name in errors.
        layout: The order of axes that the caller states.
        usual: The order of axes that models of this profile usually have.

    Attributes:
        input: What the model is fed.
        one_by_one: Whether images are run alone, because a vector would otherwise depend
            on the images beside it.

    Raises:
        ModelLoadError: ONNX Runtime refuses the model, it does not take images, or the
            order of its axes is unclear.
        ProviderError: A provider is not available.
    """

    def __init__(
        self,
        sessions: Sessions,
        threads: int,
        label: str,
        layout: Layout | None = None,
        usual: Layout | None = None,
    ) -> None:
        self.sessions = sessions
        self.threads = threads
        self.one_by_one = False
        self._label = label
        inputs = sessions.get(threads).get_inputs()
        self.input: ImageInputSpec = read_input(inputs, layout, usual)

    @property
    def takes_any_batch(self) -> bool:
        """Whether several images are run at once, as many as there are."""
        return not self.one_by_one and self.input.batch is None

    def with_threads(self, threads: int) -> ImageModel:
        """Return the same model, run on `threads` cores."""
        sibling = copy.copy(self)
        sibling.threads = threads
        return sibling

    def first_run(self, image: Tensor) -> FirstRun:
        """Run the model on a single image, and return all that it gives.

        Args:
            image: What the model is fed for it, without batch axis.

        Raises:
            ModelLoadError: The run failed.
        """
        nodes: Sequence[Node] = self.sessions.get(self.threads).get_outputs()
        names = [node.name for node in floating(nodes)]
        try:
            batch = self._filled(image[np.newaxis])
            values = self._run(names, batch) if names else []
        except EmbeddingError as error:
            raise ModelLoadError(
                f"a first run of the model failed: {error}. It was fed {self.input.layout}: use "
                "a profile of the size that the model takes, pass "
                f"layout={_OTHER_LAYOUT[self.input.layout]!r} if its axes have that order, or "
                "export it again if an operator inside fixes the length of its batch"
            ) from error
        return FirstRun(nodes, dict(zip(names, values, strict=True)), len(batch))

    def run(self, batch: Tensor, output: str) -> Tensor:
        """Return the values of `output` for n images, (n, ...); see `run_several`.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        (values,) = self.run_several(batch, [output])
        return values

    def run_several(self, batch: Tensor, outputs: Sequence[str]) -> list[Tensor]:
        """Return the values of each output for n images, (n, ...).

        The graph may fix the length of its batch. It is then run as often as needed, the
        last time filled up with copies of the last image.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        if not len(batch):  # there is no image to fill a fixed batch with
            blank = np.zeros((1, *batch.shape[1:]), batch.dtype)
            return [values[:0] for values in self._chunk(blank, outputs)]
        size = 1 if self.one_by_one else self.input.batch or len(batch)
        starts = range(0, len(batch), size)
        chunks = [self._chunk(batch[at : at + size], outputs) for at in starts]
        return [np.concatenate(values) for values in zip(*chunks, strict=True)]

    def batched_safely(self, probes: Tensor, first: Tensor, output: str) -> ImageModel:
        """Return a model that gives an image the same values whatever is beside it.

        Some graphs look across the batch: quantisation by the range of all values, batch
        normalisation left in training mode, a `Reshape` to a single image. So two images
        are run together, and each is compared with its own run. Where they differ, images
        are run one by one. A model exported for a single image is opened for more, where
        `RuntimeOptions.open_batch` says so and the same comparison holds.

        Args:
            probes: Two images of different ranges, as the model is fed.
            first: The values of `output` for the first one, run alone.
            output: The output in use.

        Raises:
            ModelLoadError: The model gives other values for the same image each time.
            MissingExtraError: Opening was asked for, and the package onnx is not installed.
        """
        opened = self._opened() if self.input.batch == 1 else None
        if self.input.batch == 1 and opened is None:
            return self
        try:
            alone = np.concatenate(
                [first, *(self._chunk(each, [output])[0] for each in probes[1:, None])]
            )
        except EmbeddingError as error:
            raise ModelLoadError(f"a run of the model on noise failed: {error}") from error
        if opened is not None:
            return opened if opened.ignores_batch(probes, alone, output) else self
        if self.ignores_batch(probes, alone, output):
            return self
        sibling = copy.copy(self)
        sibling.one_by_one = True
        if not sibling.ignores_batch(probes, alone, output):
            raise ModelLoadError(
                f"model {self._label!r} gives other values for the same image each time: export "
                "it for inference, without dropout or random operators (model.eval() in PyTorch)"
            )
        return sibling

    def ignores_batch(self, probes: Tensor, alone: Tensor, output: str) -> bool:
        """Whether each of `probes` has its values `alone` beside the others."""
        try:
            together = self.run(probes, output)
        except (EmbeddingError, ModelLoadError):
            return False
        return together.shape == alone.shape and all(
            _equal(*pair, self._tolerance) for pair in zip(together, alone, strict=True)
        )

    def _opened(self) -> ImageModel | None:
        """Return the model, edited to take any batch; None if it is not to be opened."""
        wanted = self.sessions.options.open_batch
        if wanted is None:
            wanted = not self.sessions.on_cpu and onnx_is_installed()
        if not wanted:
            return None
        opened = copy.copy(self)
        opened.sessions = self.sessions.with_open_batch()
        opened.input = replace(self.input, batch=None)
        return opened

    def exposing(self, tensor: str) -> ImageModel:
        """Return the same model, which also gives an inner tensor."""
        sibling = copy.copy(self)
        sibling.sessions = self.sessions.exposing(tensor)
        sibling.sessions.start(self.threads)
        return sibling

    @property
    def _tolerance(self) -> float:
        return _CPU_TOLERANCE[self.input.dtype] if self.sessions.on_cpu else _OTHER_TOLERANCE

    def _chunk(self, images: Tensor, outputs: Sequence[str]) -> list[Tensor]:
        """Return the values of each output for no more images than one run takes."""
        batch = self._filled(images)
        found = self._run(outputs, batch)
        for values in found:
            if values.shape[:1] != (len(batch),):
                raise EmbeddingError(
                    f"model {self._label!r} gave shape {values.shape} for a batch of "
                    f"{len(batch)}: expected a row for each image"
                )
        return [values[: len(images)] for values in found]

    def _filled(self, images: Tensor) -> Tensor:
        """Return `images`, followed by copies of the last one where the batch is fixed.

        Copies and not zeros, so that a graph that looks across its batch sees no image
        that is not there.

        Raises:
            EmbeddingError: The fixed batch is too large to be filled.
        """
        missing = 0 if self.input.batch is None else self.input.batch - len(images)
        if missing <= 0:
            return images
        if missing * images[-1].nbytes > _LARGEST_BATCH:
            raise EmbeddingError(
                f"the graph fixes a batch of {self.input.batch} images of {images[-1].nbytes} "
                "bytes: export the model with an open batch, or a smaller one"
            )
        return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])

    def _run(self, names: Sequence[str], batch: Tensor) -> list[Tensor]:
        return self.sessions.run(self.threads, names, {self.input.name: batch}, self._label)


def _equal(some: Tensor, others: Tensor, tolerance: float) -> bool:
    """Whether two arrays are equal, up to `tolerance` in relation to their largest value."""
    expected = others.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(some.astype(np.float64) - expected)
    # NaN and infinity in both are no difference: `embed` reports them.
    same = ~np.isfinite(expected) & ~np.isfinite(difference)
    allowed = tolerance * np.abs(expected).max(initial=0, where=np.isfinite(expected))
    return bool((same | (difference <= allowed)).all())
