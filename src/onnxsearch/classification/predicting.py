"""From logits to predictions: stored images get their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch.classification.calibration import Calibration, probabilities
from onnxsearch.classification.classification import Classification, Prediction

if TYPE_CHECKING:
    from onnxsearch.classification.classifier import Floats, Scorer
    from onnxsearch.classification.examples import Label
    from onnxsearch.classification.image_directions import ImageDirections
    from onnxsearch.types import Record


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a classifier that did not learn from an image says of it."""

    known: Label | None
    """The label that the image has; None if it is unknown."""
    chances: Floats
    """Probability of each class."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predicts the classes of stored images."""

    labels: tuple[Label, ...]
    scorer: Scorer
    temperature: float
    judged: Mapping[str, Judgement | None]
    """The images whose label is known, by id; None for one that every classifier learnt from."""

    def classification(
        self, stored: ImageDirections, records: Iterable[Record], calibration: Calibration | None
    ) -> Classification:
        """Return a prediction for each image; those that nothing judged are left out.

        Raises:
            InvalidArgumentError: An image has no vector of the model.
        """
        found: dict[str, Prediction] = {}  # a record that is replaced meanwhile comes twice
        for batch, matrix in stored.batches(records):
            rows = probabilities(self.scorer(matrix), self.temperature)
            for record, row in zip(batch, rows, strict=True):
                judgement = self.judged.get(record.id, Judgement(None, row))
                if judgement is not None:
                    found[record.id] = self._prediction(record, judgement)
        predictions = tuple(found[id] for id in sorted(found))
        return Classification(predictions, self.labels, stored.embedder.name, calibration)

    def _prediction(self, record: Record, judgement: Judgement) -> Prediction:
        best = int(judgement.chances.argmax())
        chance = float(judgement.chances[best])
        return Prediction(record.id, record.uri, self.labels[best], chance, judgement.known)
