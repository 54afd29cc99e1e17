"""Zero-shot classification: by the words of a model that puts text and images into one space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxsearch.classification.calibration import calibrate
from onnxsearch.classification.classification import Classification
from onnxsearch.classification.classifier import Floats
from onnxsearch.classification.predicting import Judgement, Predictor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnxsearch.classification.examples import Examples
    from onnxsearch.classification.image_directions import ImageDirections
    from onnxsearch.classification.prompts import Prompts
    from onnxsearch.search.query_encoder import QueryEncoder
    from onnxsearch.types import Record

_TEMPERATURE = 0.01
"""What CLIP's logits are divided by: its training ends at this bound (ibid., section 2.5)."""

_FOLDS = 5
"""Parts of the known images, each calibrated by the others."""


def classify_by_words(
    stored: ImageDirections,
    records: Iterable[Record],
    prompts: Prompts,
    encoder: QueryEncoder,
    known: Examples | None,
) -> Classification:
    """Classify images by words; see `SearchEngine.classify`.

    Args:
        stored: Where the vectors are.
        records: The images.
        prompts: The labels.
        encoder: Embeds the prompts.
        known: Images with labels that are known, for calibration.
    """
    labels = tuple(prompts.texts)
    words = prompts.directions(encoder, stored.embedder)

    def scorer(images: Floats) -> Floats:
        cosines: Floats = images @ words.T
        return cosines

    if known is None:
        return Predictor(labels, scorer, _TEMPERATURE, {}).classification(stored, records, None)
    logits = scorer(stored.of(known.ids))
    calibration, chances = calibrate(
        logits, known.classes_among(labels), np.arange(len(logits)) % _FOLDS, _TEMPERATURE
    )
    judged = {
        id: Judgement(known.labels[place], row)
        for id, place, row in zip(known.ids, known.classes, chances, strict=True)
    }
    predictor = Predictor(labels, scorer, calibration.temperature, judged)
    return predictor.classification(stored, records, calibration)
