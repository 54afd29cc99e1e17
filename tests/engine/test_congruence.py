"""Engines on every pair of stores answer like a dictionary of metadata."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from onnxsearch import Filter, Metadata, MetadataStore, SearchEngine, VectorStore
from onnxsearch.testing import FakeEmbedder, picture
from tests.engine.stores import assert_consistent
from tests.vectors.strategies import FILTERS, ROWS

IDS = st.sampled_from(["cat", "dog", 'it\'s "x"', "é", "\udcff"])


def test_records_updates_and_removals_agree(stores: tuple[VectorStore, MetadataStore]) -> None:
    class Machine(_Congruence):
        def new_engine(self) -> SearchEngine:
            return SearchEngine(FakeEmbedder(), *stores)

        def teardown(self) -> None:
            assert_consistent(*stores)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=4,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def text(metadata: Metadata) -> str:
    """Metadata as JSON, because Python finds 1 and True equal."""
    return json.dumps(metadata, sort_keys=True)


class _Congruence(RuleBasedStateMachine):
    """Keeps the metadata of each image by id; an image shows its id."""

    def new_engine(self) -> SearchEngine:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.engine = self.new_engine()
        self.engine.remove([record.id for record in self.engine.records()])
        self.images: dict[str, Metadata] = {}

    @rule(id=IDS, row=ROWS)
    def add(self, id: str, row: Metadata) -> None:
        self.engine.add(picture(ascii(id)), id=id, metadata=row)
        self.images[id] = row

    @rule(id=IDS, row=ROWS, merge=st.booleans())
    def update(self, id: str, row: Metadata, merge: bool) -> None:
        if id not in self.images:
            return
        record = self.engine.update(id, metadata=row, merge=merge)
        if not merge:
            assert text(record.metadata) == text(row)
        self.images[id] = record.metadata

    @rule(filter=FILTERS)
    def remove_by_filter(self, filter: Filter) -> None:
        gone = {id for id, row in self.images.items() if filter.matches(row)}
        assert set(self.engine.remove(filter=filter)) == gone
        self.images = {id: row for id, row in self.images.items() if id not in gone}

    @rule(filter=FILTERS)
    def find(self, filter: Filter) -> None:
        wanted = {id for id, row in self.images.items() if filter.matches(row)}
        assert {record.id for record in self.engine.records(filter)} == wanted
        assert set(self.engine.search(picture("any"), filter=filter, limit=10).ids) == wanted

    @invariant()
    def holds_the_same_images(self) -> None:
        records = list(self.engine.records(order_by="id"))
        assert [record.id for record in records] == sorted(self.images)
        for record in records:
            assert text(record.metadata) == text(self.images[record.id])
        assert len(self.engine) == len(self.images)
        assert all(id in self.engine for id in self.images)
        if self.images:
            shown = FakeEmbedder().embed([picture(ascii(id)) for id in self.images])
            np.testing.assert_allclose(self.engine.vectors(list(self.images)), shown, atol=1e-6)
