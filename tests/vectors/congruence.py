"""Random operations on a store and on the in-memory store, whose answers must agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from onnxsearch import CollectionSpec, Filter, InMemoryVectorStore, Metadata, VectorStore
from onnxsearch.testing.vector_samples import key, random_vectors
from tests.vectors.strategies import FILTERS, ROWS

# Few of each, so that operations meet: rows are replaced, and lie at equal distances.
KEYS = st.integers(0, 24).map(key)
PLACES = st.integers(0, 11)


def agree(
    spec: CollectionSpec,
    opener: Callable[[], VectorStore],
    *,
    runs: int,
    steps: int = 50,
    ties_by_key: bool = True,
) -> None:
    """Do `runs` times up to `steps` random operations, reopening the store now and then.

    Without `ties_by_key`, rows at the same distance may come in any order.
    """

    class Machine(_Congruence):
        pass

    Machine.spec, Machine.opener = spec, staticmethod(opener)
    Machine.ties_by_key = ties_by_key
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class _Congruence(RuleBasedStateMachine):
    spec: ClassVar[CollectionSpec]
    opener: ClassVar[Callable[[], VectorStore]]
    ties_by_key: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.name = self.spec.name
        self.pool = random_vectors(self.spec, 12)
        self.memory = InMemoryVectorStore()
        self.memory.ensure_collection(self.spec)
        self.store = self.opener()
        self.store.ensure_collection(self.spec)

    @initialize()
    def empty(self) -> None:
        self.store.delete(self.name, list(self.store.ids(self.name)))

    @rule(rows=st.dictionaries(KEYS, st.tuples(PLACES, ROWS), min_size=1, max_size=8))
    def upsert(self, rows: dict[str, tuple[int, Metadata]]) -> None:
        vectors = self.pool[[place for place, _ in rows.values()]]
        for store in (self.memory, self.store):
            store.upsert(self.name, list(rows), vectors, [row for _, row in rows.values()])

    @rule(keys=st.lists(KEYS, max_size=4))
    def delete(self, keys: list[str]) -> None:
        for store in (self.memory, self.store):
            store.delete(self.name, keys)

    @rule(places=st.lists(PLACES, min_size=1, max_size=3), limit=st.integers(1, 30))
    def search(self, places: list[int], limit: int) -> None:
        self.compare(places, limit, None)

    @rule(place=PLACES, limit=st.integers(1, 30), filter=FILTERS)
    def search_with_filter(self, place: int, limit: int, filter: Filter) -> None:
        self.compare([place], limit, filter)

    @rule(keys=st.lists(KEYS, max_size=5))
    def fetch(self, keys: list[str]) -> None:
        wanted, found = (store.fetch(self.name, keys) for store in (self.memory, self.store))
        assert set(found) == set(wanted)
        for name, vector in wanted.items():
            np.testing.assert_array_equal(found[name], vector)

    @rule(chance=st.integers(0, 9))
    def reopen(self, chance: int) -> None:
        if not chance:
            self.store.close()
            self.store = self.opener()

    @invariant()
    def holds_the_same_keys(self) -> None:
        assert sorted(self.store.ids(self.name)) == sorted(self.memory.ids(self.name))
        assert self.store.count(self.name) == self.memory.count(self.name)

    def compare(self, places: Sequence[int], limit: int, filter: Filter | None) -> None:
        wanted, found = (
            store.search(self.name, self.pool[list(places)], limit, filter=filter)
            for store in (self.memory, self.store)
        )
        for row, right in zip(found, wanted, strict=True):
            self.same_order([m.key for m in row], [m.key for m in right])
            # Stores that work in float32 are off where L2 is near 0.
            distances = [match.distance for match in right]
            assert [match.distance for match in row] == pytest.approx(distances, rel=1e-5, abs=1e-3)

    def same_order(self, found: Sequence[str], wanted: Sequence[str]) -> None:
        if self.ties_by_key or found == wanted:
            assert found == wanted
            return
        # Two rows that hold the same vector may have changed places.
        vectors = self.memory.fetch(self.name, sorted({*found, *wanted}))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(vectors[one], vectors[other])

    def teardown(self) -> None:
        self.store.close()
