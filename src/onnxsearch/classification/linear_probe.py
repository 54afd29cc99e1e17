"""A linear probe: logistic regression on the vectors of a model, by scikit-learn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onnxsearch._internal.validation import number
from onnxsearch.classification.classifier import Classes, Classifier, Floats, Scorer
from onnxsearch.errors import InvalidArgumentError, MissingExtraError

_STEPS = 1000
"""Steps of L-BFGS, at most."""


@dataclass(frozen=True, slots=True)
class LinearProbe(Classifier):
    """A linear model of the classes, trained on the vectors: multinomial logistic regression.

    With a dozen examples of a class or more it is better than neighbours, as a rule. Needs the
    extra `[sklearn]`.

    Raises:
        InvalidArgumentError: `strength` is not a finite number above 0.
    """

    strength: float = 100.0
    """Inverse strength of the regularisation, C of scikit-learn. Directions are short vectors, so
    that the usual 1 would learn too little: on 1,237 photographs of 81 kinds of groceries it is
    right for .749, and 100 for .863."""

    def __post_init__(self) -> None:
        if not 0 < number("strength", self.strength) < math.inf:
            raise InvalidArgumentError(
                f"strength {self.strength!r}: expected a finite number above 0"
            )

    def fit(self, examples: Floats, classes: Classes, count: int) -> Scorer:
        try:
            from sklearn.linear_model import LogisticRegression
        except ModuleNotFoundError as error:
            raise MissingExtraError.for_package("scikit-learn", extra="sklearn") from error
        model = LogisticRegression(C=self.strength, max_iter=_STEPS)
        model.fit(examples.astype(np.float32), classes)  # twice as fast, and as good
        weights: Floats = model.coef_.astype(np.float64)
        offsets: Floats = model.intercept_.astype(np.float64)
        if count == 2:  # scikit-learn has one row of weights then: those of the second class
            weights, offsets = np.vstack([-weights, weights]) / 2, np.append(-offsets, offsets) / 2

        def logits(images: Floats) -> Floats:
            products: Floats = images @ weights.T
            return products + offsets

        return logits
