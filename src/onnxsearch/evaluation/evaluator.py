"""How well models find what belongs together."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.metrics import Estimate, estimates, measure
from onnxsearch.search.fusion import Fusion
from onnxsearch.search.retriever import Retriever
from onnxsearch.types import Record

if TYPE_CHECKING:
    from onnxsearch.catalog.records import RecordIndex
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.vectors.base import Match

Labels: TypeAlias = "Mapping[str, Hashable] | str | Callable[[Record], object]"
"""What a picture shows: by id, or the name of a metadata field, or a function of a
picture's record. None stands for not known."""

_BATCH = 32
"""Queries ranked at once: each ranking is as long as the album."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How good the rankings of one model are, as means over all queries."""

    precision: Mapping[int, Estimate]
    """By k, the share of right answers among the first k."""
    recall: Mapping[int, Estimate]
    """By k, the share of all right answers that is among the first k."""
    mean_average_precision: Estimate
    """The mean, over all right answers, of the precision at their ranks."""
    ndcg: Estimate
    """Normalised discounted cumulative gain, over the whole ranking."""


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """What `SearchEngine.evaluate` returns."""

    scores: Mapping[str, Scores]
    """By model; the fusion's name is that of all models, parted by "+"."""
    queries: int
    """How many pictures were searched for."""
    pictures: int
    """Among how many."""

    def __repr__(self) -> str:
        head = f"<Evaluation of {self.queries} queries among {self.pictures} pictures>"
        ks = list(next(iter(self.scores.values())).precision)
        width = max(len("model"), *map(len, self.scores))
        titles = [*(f"P@{k}" for k in ks), *(f"R@{k}" for k in ks), "mAP", "nDCG"]
        lines = [head, f"  {'model':{width}}" + "".join(f"  {title:>6}" for title in titles)]
        for name, scores in self.scores.items():
            values = [
                *scores.precision.values(),
                *scores.recall.values(),
                scores.mean_average_precision,
                scores.ndcg,
            ]
            numbers = "".join(f"  {estimate.value:6.3f}" for estimate in values)
            lines.append(f"  {name:{width}}{numbers}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Which pictures are right answers to which."""

    right: Mapping[str, frozenset[str]]
    """By id of a query; the query itself may be among them and does not count."""
    pool: frozenset[str]
    """The pictures that are ranked."""

    @classmethod
    def of_labels(cls, labels: Labels, records: RecordIndex) -> GroundTruth:
        """Pictures of one label are right answers to each other; others aren't ranked."""
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


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Ranks the pool for each query, and measures the rankings."""

    retrieval: Retriever
    embedders: Sequence[Embedder]
    fusion: Fusion
    ks: Sequence[int]
    depth: int | None

    def __post_init__(self) -> None:
        if not self.ks or min(self.ks) < 1:
            raise InvalidArgumentError(f"k={tuple(self.ks)}: expected ranks from 1 on")
        if self.depth is not None:
            integer("depth", self.depth, least=1)

    def evaluate(
        self, truth: GroundTruth, *, confidence: float, resamples: int, seed: int
    ) -> Evaluation:
        """Measure each model and, where there are several, their fusion."""
        if not 0 < confidence < 1 or resamples < 1:
            raise InvalidArgumentError(
                f"confidence {confidence}, resamples {resamples}: expected a share between 0 and "
                "1, and at least one resample"
            )
        rows: dict[str, list[list[float]]] = defaultdict(list)
        for query, rankings in self._rankings(truth):
            right = truth.right[query] - {query}
            for name, ids in rankings.items():
                relevant = np.array([id in right for id in ids], bool)
                rows[name].append(measure(relevant, len(right), self.ks))
        scores = {
            name: self._scores(
                estimates(np.array(r), confidence=confidence, resamples=resamples, seed=seed)
            )
            for name, r in rows.items()
        }
        return Evaluation(scores, len(truth.right), len(truth.pool))

    def _scores(self, columns: Sequence[Estimate]) -> Scores:
        count = len(self.ks)
        return Scores(
            precision=dict(zip(self.ks, columns[:count], strict=True)),
            recall=dict(zip(self.ks, columns[count : 2 * count], strict=True)),
            mean_average_precision=columns[-2],
            ndcg=columns[-1],
        )

    def _rankings(self, truth: GroundTruth) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Yield each query with what every model finds, best first, without the query."""
        records = self.retrieval.catalog.records
        ids = {
            stored.key: id
            for batch in batched(sorted(truth.pool), 1024)
            for id, stored in records.find(batch).items()
        }
        for queries in batched(sorted(truth.right), _BATCH):
            found = {e.name: self._matches(e, queries) for e in self.embedders}
            for position, query in enumerate(queries):
                rankings = {
                    name: [m for m in rows[position] if m.key in ids and ids[m.key] != query]
                    for name, rows in found.items()
                }
                if len(rankings) > 1:
                    rankings["+".join(rankings)] = self.fusion.merge(rankings)
                yield query, {name: [ids[m.key] for m in r] for name, r in rankings.items()}

    def _matches(self, embedder: Embedder, queries: Sequence[str]) -> list[list[Match]]:
        rows = self.retrieval.rows(embedder, queries)
        missing = [id for id in queries if id not in rows]
        if missing:
            raise InvalidArgumentError(
                f"picture {missing[0]!r} has no vector of model {embedder.name!r}: "
                f"engine.backfill({embedder.name!r}) fills what is missing"
            )
        store = self.retrieval.vectors
        collection = self.retrieval.catalog.collection(embedder.name)
        depth = self.depth or store.count(collection)
        return store.search(collection, np.stack([rows[id] for id in queries]), depth)


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
