"""Classification by labelled examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import instance
from onnxsearch.classification.calibration import calibrate
from onnxsearch.classification.classification import Classification
from onnxsearch.classification.classifier import Classes, Classifier, Floats, NearestNeighbours
from onnxsearch.classification.examples import UNHELD, Examples
from onnxsearch.classification.image_directions import ImageDirections
from onnxsearch.classification.predicting import Judgement, Predictor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnxsearch.types import Record


def classify_by_examples(
    stored: ImageDirections,
    records: Iterable[Record],
    examples: Examples,
    folds: Classes,
    classifier: Classifier | None,
) -> Classification:
    """Classify images by labelled ones; see `SearchEngine.classify_by_examples`.

    Args:
        stored: Where the vectors are.
        records: The images.
        examples: The labelled ones.
        folds: The fold of each example; it is classified by what the others teach.
        classifier: How to learn; by default from the nearest neighbours.
    """
    rule = NearestNeighbours() if classifier is None else classifier
    instance("classifier", rule, Classifier, "a NearestNeighbours or a LinearProbe")
    vectors = stored.of(examples.ids)
    held = np.flatnonzero(folds != UNHELD)
    logits = _held_out(rule, vectors, examples, folds)[held]
    calibration, chances = calibrate(logits, examples.classes[held], folds[held])
    judged: dict[str, Judgement | None] = dict.fromkeys(examples.ids)
    for place, row in zip(held.tolist(), chances, strict=True):
        known = examples.labels[examples.classes[place]]
        judged[examples.ids[place]] = Judgement(known, row)
    scorer = rule.fit(vectors, examples.classes, len(examples.labels))
    predictor = Predictor(examples.labels, scorer, calibration.temperature, judged)
    return predictor.classification(stored, records, calibration)


def _held_out(
    classifier: Classifier, vectors: Floats, examples: Examples, folds: Classes
) -> Floats:
    """Return for each example the logits by a classifier that did not learn from its fold."""
    logits = np.zeros((len(vectors), len(examples.labels)))
    for fold in range(folds.max() + 1):
        held = folds == fold
        rest = examples.classes[~held]
        logits[held] = classifier.fit(vectors[~held], rest, logits.shape[1])(vectors[held])
    return logits
