"""Classifiers that learn from labelled images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import integer

Floats: TypeAlias = "NDArray[np.float64]"
Classes: TypeAlias = "NDArray[np.intp]"

Scorer: TypeAlias = "Callable[[NDArray[np.float64]], NDArray[np.float64]]"
"""Returns the logits of images, (n, classes), from their directions, (n, dimension)."""

_SHARPNESS = 0.07
"""The temperature of neighbours' votes in Wu, Xiong, Yu and Lin, "Unsupervised Feature Learning
via Non-Parametric Instance Discrimination" (CVPR 2018), which later work keeps."""

_BLOCK = 1 << 22
"""Cosines computed at once: 32 MiB."""


class Classifier(ABC):
    """A way to learn from labelled images which class an image belongs to.

    Vectors come as directions: of length 1, and bits of a model with `Metric.HAMMING` as +1 and
    -1, scaled. Their products are cosines.
    """

    @abstractmethod
    def fit(self, examples: Floats, classes: Classes, count: int) -> Scorer:
        """Learn from examples; return the function that judges images.

        Args:
            examples: Their directions, (n, dimension) float64, at least one of each class.
            classes: The class of each, (n,) intp, from 0 to `count` - 1.
            count: Number of classes, at least 2.
        """


@dataclass(frozen=True, slots=True)
class NearestNeighbours(Classifier):
    """The classes of the nearest examples vote, each with weight exp(cosine / 0.07).

    Every class gets one vote more, with the weight of the last of these examples: so near another
    example of the class may be. Without it, calibration finds classes that are impossible.

    Nothing is trained, so a few examples of a class suffice. The weights are those of Wu et al.,
    "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR 2018).

    Raises:
        InvalidArgumentError: `neighbours` is not an integer of at least 1.
    """

    neighbours: int = 10
    """Number of examples that vote."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "neighbours", integer("neighbours", self.neighbours, least=1))

    def fit(self, examples: Floats, classes: Classes, count: int) -> Scorer:
        voters = min(self.neighbours, len(examples))
        step = max(1, _BLOCK // len(examples))

        def logits(images: Floats) -> Floats:
            shares = np.empty((len(images), count))
            for start in range(0, len(images), step):
                cosines = images[start : start + step] @ examples.T
                near = np.argpartition(-cosines, voters - 1, axis=1)[:, :voters]
                shares[start : start + step] = _votes(cosines, near, classes, count)
            return np.log(shares)

        return logits


def _votes(cosines: Floats, near: Classes, classes: Classes, count: int) -> Floats:
    """Return the share of the votes that each class got, (images, classes)."""
    likeness = np.take_along_axis(cosines, near, axis=1)
    weights = np.exp((likeness - likeness.max(axis=1, keepdims=True)) / _SHARPNESS)
    votes = np.repeat(weights.min(axis=1, keepdims=True), count, axis=1)
    rows = np.broadcast_to(np.arange(len(cosines))[:, np.newaxis], near.shape)
    np.add.at(votes, (rows, classes[near]), weights)
    shares: Floats = votes / votes.sum(axis=1, keepdims=True)
    return shares
