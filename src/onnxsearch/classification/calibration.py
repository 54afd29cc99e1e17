"""Probabilities that mean what they say: temperature scaling, and how well it worked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onnxsearch.classification.classifier import Classes, Floats
from onnxsearch.evaluation.bootstrap import Bootstrap, Estimate

_BINS = 15
"""Bins of the expected calibration error, as many as Guo et al. use."""

_SHARPEST, _FLATTEST = 1e-4, 1e4
"""Temperatures that are looked at."""

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Calibration:
    """How good predictions are, measured on labelled images that were not learnt from.

    Each temperature, too, was fitted to other images than those whose probabilities it made.
    """

    images: int
    """Number of images on which this was measured."""
    accuracy: Estimate
    """Share of right predictions, with a 95 % interval."""
    expected_error: float
    """Expected calibration error: the mean difference of probability and share of right
    predictions, over 15 bins of probability; 0 is best."""
    uncalibrated_error: float
    """The same of the probabilities before calibration."""
    temperature: float
    """What the logits are divided by; above 1 probabilities become more cautious."""

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy} on {self.images} images that were not learnt from; "
            f"expected calibration error {self.expected_error:.3f} (before calibration "
            f"{self.uncalibrated_error:.3f})"
        )


def probabilities(logits: Floats, temperature: float) -> Floats:
    """Return the softmax of logits / temperature, by row."""
    scaled = logits / temperature
    powers: Floats = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    totals: Floats = powers.sum(axis=1, keepdims=True)
    return powers / totals


def fit_temperature(logits: Floats, classes: Classes) -> float:
    """Return the temperature that makes the probabilities of known classes likeliest.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017),
    section 4.2. As in Platt's scaling ("Probabilistic Outputs for Support Vector Machines",
    1999), the known class has probability 1 - 1 / (n + 2) and not 1, so that a few images that
    are all right do not make everything certain.

    Args:
        logits: Of shape (n, classes), of images that were not learnt from.
        classes: The class of each, (n,).
    """
    count, width = logits.shape
    doubt = 1.0 / (count + 2)
    targets = np.full(logits.shape, doubt / (width - 1))
    targets[np.arange(count), classes] = 1.0 - doubt
    centred = logits - logits.max(axis=1, keepdims=True)
    # The loss is convex in 1 / temperature: halve where its slope changes sign.
    low, high = math.log(_SHARPEST), math.log(_FLATTEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        excess = probabilities(centred, math.exp(middle)) - targets
        if (excess * centred).sum() > 0:
            low = middle  # surer than right
        else:
            high = middle
    return math.exp((low + high) / 2)


def calibrate(
    logits: Floats, classes: Classes, folds: Classes, temperature: float = 1.0
) -> tuple[Calibration, Floats]:
    """Calibrate on images that were not learnt from; return also their probabilities.

    Args:
        logits: Of shape (n, classes).
        classes: The class of each, (n,).
        folds: The fold of each; its temperature is fitted to the others.
        temperature: The one without calibration.
    """
    calibrated = np.empty(logits.shape)
    for fold in np.unique(folds):
        held = folds == fold
        fitted = fit_temperature(logits[~held], classes[~held]) if (~held).any() else temperature
        calibrated[held] = probabilities(logits[held], fitted)
    right = calibrated.argmax(axis=1) == classes
    (accuracy,) = Bootstrap().estimates(right.astype(np.float64)[:, np.newaxis])
    before = probabilities(logits, temperature)
    measured = Calibration(
        images=len(logits),
        accuracy=accuracy,
        expected_error=expected_error(calibrated, classes),
        uncalibrated_error=expected_error(before, classes),
        temperature=fit_temperature(logits, classes),
    )
    return measured, calibrated


def expected_error(probabilities: Floats, classes: Classes) -> float:
    """Return the expected calibration error over 15 bins of equal width (Guo et al., 2017)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    bins = np.minimum((confidence * _BINS).astype(np.intp), _BINS - 1)
    excess = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(excess).sum() / len(classes))
