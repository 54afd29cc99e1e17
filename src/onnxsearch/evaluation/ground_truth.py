"""Which images belong together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.threads import batched
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex

Labels: TypeAlias = "Mapping[str, Hashable] | str | Callable[[Record], object]"
"""What an image shows: by id, or the name of a metadata field, or a function of an
image's record. None stands for an unknown label."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Which pictures are right answers to which."""

    right: Mapping[str, frozenset[str]]
    """By id of a query; the query itself may be among them and does not count."""
    pool: frozenset[str]
    """The pictures that are ranked."""

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
        """Images of one label are right answers to each other; others aren't ranked."""
        known = {id: label for id, label in _labelled(labels, records) if label is not None}
        if not known:
            raise InvalidArgumentError(
                "no picture has a label: expected at least two that share one"
            )
        _check_stored(known, records)
        classes: dict[Hashable, list[str]] = defaultdict(list)
        for id, label in known.items():
            classes[label].append(id)
        sets = {label: frozenset(ids) for label, ids in classes.items() if len(ids) > 1}
        if not sets:
            raise InvalidArgumentError(
                f"{len(known)} pictures have {len(classes)} labels: expected at least two pictures "
                "that share one"
            )
        right = {id: sets[label] for id, label in known.items() if label in sets}
        return cls(right, frozenset(known))

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]], records: RecordIndex) -> GroundTruth:
        """Of each pair, one is a right answer to the other; the whole album is ranked."""
        right: dict[str, set[str]] = defaultdict(set)
        for one, other in pairs:
            if one == other:
                raise InvalidArgumentError(f"a pair holds {one!r} twice: expected two pictures")
            right[one].add(other)
            right[other].add(one)
        if not right:
            raise InvalidArgumentError("pairs are empty: expected at least one pair of ids")
        _check_stored(right, records)
        pool = frozenset(record.id for record in records.values())
        return cls({id: frozenset(others) for id, others in right.items()}, pool)


def _labelled(labels: Labels, records: RecordIndex) -> Iterator[tuple[str, Hashable]]:
    if isinstance(labels, Mapping):
        yield from labels.items()
        return
    for record in records.values():
        label = record.metadata.get(labels) if isinstance(labels, str) else labels(record)
        # A list of tags is a label, too, and no dictionary takes it as a key.
        yield record.id, json.dumps(label) if isinstance(label, list | dict) else label


def _check_stored(ids: Iterable[str], records: RecordIndex) -> None:
    for batch in batched(ids, 1024):
        unknown = set(batch).difference(records.find(batch))
        if unknown:
            raise InvalidArgumentError(
                f"no picture of id {min(unknown)!r} is stored. A file's id is its absolute path"
            )
