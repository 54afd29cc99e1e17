"""What classes images belong to, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch.classification.calibration import Calibration
from onnxsearch.classification.examples import Label
from onnxsearch.types import JSONValue


@dataclass(frozen=True, slots=True)
class Prediction:
    """The class that an image most probably belongs to."""

    id: str
    uri: str | None
    label: Label
    probability: float
    """Of this label, from 0 to 1."""
    known: Label | None = None
    """The label that the image has; None if it is unknown. Nothing was learnt from this image
    for its own prediction."""


@dataclass(frozen=True, slots=True, repr=False)
class Classification(Tabular):
    """Result of `SearchEngine.classify` and `classify_by_examples`: a prediction per image.

    Example:
        >>> found = engine.classify_by_examples("kind")
        >>> print(found.calibration)
        >>> sure = [each for each in found if each.known is None and each.probability > 0.9]
    """

    predictions: tuple[Prediction, ...]
    """In the order of the ids."""
    labels: tuple[Label, ...]
    """The classes."""
    model: str
    calibration: Calibration | None
    """How good the predictions are; None where no image has a known label."""

    _columns: ClassVar[Mapping[str, str]] = columns_of(Prediction)

    @property
    def contradictions(self) -> tuple[Prediction, ...]:
        """Images whose known label is another one, the most probable ones first.

        These are the model's mistakes, and mistakes in the labels.
        """
        others = [each for each in self if each.known is not None and each.label != each.known]
        return tuple(sorted(others, key=lambda each: -each.probability))

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return the predictions as dictionaries with the fields of `Prediction`."""
        return [row(each) for each in self]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.predictions)

    def __len__(self) -> int:
        return len(self.predictions)

    def __repr__(self) -> str:
        lines = [f"<Classification of {len(self)} images by {self.model}>"]
        for label, count in Counter(each.label for each in self).most_common(_SHOWN):
            lines.append(f"  {count:>7}  {label}")
        lines.append(f"  {self.calibration or 'not calibrated: no image has a known label'}")
        return "\n".join(lines)


_SHOWN = 20
"""Classes that are printed, at most."""
