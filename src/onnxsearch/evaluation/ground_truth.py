"""Ground truth: the images that belong together."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import instance, pairs as checked_pairs
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters.values import identity
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex

Labels: TypeAlias = "Mapping[str, Hashable] | str | Callable[[Record], object]"
"""Labels of images: by id, or the name of a metadata field, or a function of an
image's record. None stands for an unknown label. Labels are the same where filters take
them for the same: 1 and 1.0 are, 1 and True are not."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The right answers to each query."""

    right: Mapping[str, frozenset[str]]
    """By id of a query; the query itself may be among them and does not count."""
    pool: frozenset[str]
    """The images that are ranked."""
    labels: tuple[str, ...] = ()
    """The classes as text, in order; none where pairs were given."""
    classes: Mapping[str, int] = field(default_factory=dict[str, int])
    """By id of an image that is ranked, the position of its class in `labels`."""

    @classmethod
    def of(
        cls,
        records: RecordIndex,
        *,
        labels: Labels | None,
        pairs: Iterable[tuple[str, str]] | None,
    ) -> GroundTruth:
        """Return the ground truth that a caller gave in one of two ways.

        Raises:
            InvalidArgumentError: Neither way was used, or both.
        """
        if labels is not None and pairs is None:
            return cls.of_labels(labels, records)
        if pairs is not None and labels is None:
            return cls.of_pairs(pairs, records)
        raise InvalidArgumentError("evaluate needs either labels or pairs, and not both")

    @classmethod
    def of_labels(cls, labels: Labels, records: RecordIndex) -> GroundTruth:
        """Images of one label are right answers to each other; others are not ranked.

        Raises:
            InvalidArgumentError: No two images share a label, a label is not hashable, or
                an id is not stored.
        """
        known: dict[str, Hashable] = {}
        texts: dict[Hashable, str] = {}
        for id, label in labelled(labels, records):
            if (same := label_identity(id, label)) is not None:
                known[id] = same
                texts.setdefault(same, str(label))
        if not known:
            raise InvalidArgumentError("no image has a label: expected at least two that share one")
        check_stored(known, records)
        classes: dict[Hashable, list[str]] = defaultdict(list)
        for id, label in known.items():
            classes[label].append(id)
        sets = {label: frozenset(ids) for label, ids in classes.items() if len(ids) > 1}
        if not sets:
            raise InvalidArgumentError(
                f"{len(known)} images have {len(classes)} labels: expected at least two images "
                "that share one"
            )
        right = {id: sets[label] for id, label in known.items() if label in sets}
        ordered = sorted(texts, key=lambda label: _order(texts[label]))
        places = {label: place for place, label in enumerate(ordered)}
        return cls(
            right,
            frozenset(known),
            tuple(texts[label] for label in ordered),
            {id: places[label] for id, label in known.items()},
        )

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]], records: RecordIndex) -> GroundTruth:
        """Of each pair, one is a right answer to the other; the whole album is ranked.

        Raises:
            InvalidArgumentError: There is no pair, or an id is not stored.
        """
        right: dict[str, set[str]] = defaultdict(set)
        for one, other in checked_pairs("pairs", pairs):
            right[one].add(other)
            right[other].add(one)
        check_stored(right, records)
        pool = frozenset(record.id for record in records.values())
        return cls({id: frozenset(others) for id, others in right.items()}, pool)


def labelled(
    labels: Labels, records: RecordIndex, argument: str = "labels"
) -> Iterator[tuple[str, object]]:
    """Yield ids with their labels, None where one is unknown; the ids of a mapping as given.

    Errors call the labels by the name of the argument that they were given as.

    Raises:
        InvalidArgumentError: `labels` is none of the forms of `Labels`.
    """
    if isinstance(labels, Mapping):
        for id, label in labels.items():
            yield instance(argument, id, str, "ids as keys"), label
        return
    if not isinstance(labels, str) and not callable(labels):
        raise InvalidArgumentError(
            f"{argument} {labels!r:.80}: expected a mapping by id, the name of a metadata field, "
            "or a function of a record"
        )
    for record in records.values():
        yield record.id, record.metadata.get(labels) if isinstance(labels, str) else labels(record)


def _order(label: str) -> tuple[int, str]:
    """Return what sorts labels: whole numbers by their size, then texts."""
    return (len(label), label) if label.isdecimal() else (sys.maxsize, label)


def label_identity(id: str, label: object, argument: str = "labels") -> Hashable:
    """Return what is equal for equal labels; None for an unknown one.

    Raises:
        InvalidArgumentError: The label is not hashable.
    """
    if label is None:
        return None
    try:
        return identity(label.item() if isinstance(label, np.generic) else label)
    except TypeError as error:
        raise InvalidArgumentError(
            f"{argument}: {label!r:.80}, the label of image {id!r:.200}, is not hashable: expected "
            "a string, a number, or a list of these"
        ) from error


def check_stored(ids: Iterable[str], records: RecordIndex) -> None:
    """Check that images are stored.

    Raises:
        InvalidArgumentError: One is not.
    """
    for batch in batched(ids, 1024):
        unknown = set(batch).difference(records.find(batch))
        if unknown:
            raise InvalidArgumentError(
                f"no image of id {min(unknown)!r} is stored. A file's id is its absolute path, or "
                "below the root of the index its path from there"
            )
