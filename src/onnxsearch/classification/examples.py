"""Labelled images: what classifiers learn from, and are measured on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from onnxsearch._internal.validation import integer
from onnxsearch.classification.classifier import Classes
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.ground_truth import Labels, check_stored, label_identity, labelled

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from onnxsearch.catalog.records import RecordIndex

Label: TypeAlias = "str | int | float | bool"
"""A label of a class."""

UNHELD = -1
"""The fold of an image that is in none: the only one of its class."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Images with their classes."""

    ids: tuple[str, ...]
    """In their order, whatever the order in which they were stored."""
    classes: Classes
    """The class of each, (n,), as its place in `labels`."""
    labels: tuple[Label, ...]

    @classmethod
    def of(cls, labels: Labels, records: RecordIndex, *, argument: str = "labels") -> Self:
        """Return the images whose label is known; `argument` is the name of `labels` in errors.

        Raises:
            InvalidArgumentError: A label is not a string, a number or a boolean, an id is not
                stored, or fewer than two classes have examples.
        """
        names: dict[Hashable, Label] = {}
        known: dict[str, Hashable] = {}
        for id, label in labelled(labels, records, argument):
            same = label_identity(id, label, argument)
            if same is not None:
                names.setdefault(same, _checked(id, label, argument))
                known[id] = same
        check_stored(known, records)
        if len(names) < 2:
            raise InvalidArgumentError(
                f"{argument}: {len(known)} images have {len(names)} different labels: expected "
                "examples of at least two classes"
            )
        order = sorted(names, key=lambda same: (str(names[same]), str(same)))
        places = {same: place for place, same in enumerate(order)}
        ids = tuple(sorted(known))
        classes = np.array([places[known[id]] for id in ids], np.intp)
        return cls(ids, classes, tuple(names[same] for same in order))

    def classes_among(self, labels: Sequence[Label]) -> Classes:
        """Return the class of each image, (n,), as its place in other labels.

        Raises:
            InvalidArgumentError: A label is not among them.
        """
        if strange := [label for label in self.labels if label not in labels]:
            raise InvalidArgumentError(
                f"known: {strange[0]!r:.80} is not among the labels: expected one of "
                f"{', '.join(map(repr, labels[:5]))}, ... or None for an image that is none of them"
            )
        places = np.array([labels.index(label) for label in self.labels], np.intp)
        return places[self.classes]

    def folds(self, count: int, seed: int) -> Classes:
        """Deal the images to folds, those of each class evenly; return the fold of each, (n,).

        An image that is alone in its class is in none (`UNHELD`): without it, nothing is left
        to learn its class from.

        Raises:
            InvalidArgumentError: `count` is below 2 or `seed` below 0, or no class has two
                images.
        """
        count, seed = integer("folds", count, least=2), integer("seed", seed, least=0)
        folds = np.full(len(self.ids), UNHELD, np.intp)
        random = np.random.default_rng(seed)
        dealt = 0
        for number, size in sorted(Counter(self.classes.tolist()).items()):
            if size > 1:
                places = random.permutation(np.flatnonzero(self.classes == number))
                folds[places] = (dealt + np.arange(size)) % count
                dealt += size
        if not dealt:
            raise InvalidArgumentError(
                f"labels: each of {len(self.labels)} classes has a single example: expected two "
                "of one class at least, to measure how sure a prediction is"
            )
        return folds


def _checked(id: str, label: object, argument: str) -> Label:
    plain = label.item() if isinstance(label, np.generic) else label
    if not isinstance(plain, str | int | float | bool) or plain != plain:
        raise InvalidArgumentError(
            f"{argument}: {label!r:.80}, the label of image {id!r:.200}: expected a string, a "
            "number or a boolean; None for an unknown one"
        )
    return plain
