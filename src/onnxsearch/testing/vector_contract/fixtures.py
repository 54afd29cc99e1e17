"""How tests of vector stores get the stores that they are about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import pytest

from onnxsearch.testing.vector_samples import PHOTOS
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, VectorStore


class VectorStoreFixtures(ABC):
    """What the author of a store tells, and the fixtures that the tests share."""

    durable: bool = True
    """Whether rows are there when the same place is opened again, after the first
    store was closed. If not, every call of `make_store` gives a new, empty store."""

    opens_twice: bool = True
    """Whether a place can be opened once more while it is open, as by another process.
    If not, nothing here shows that rows outlive a killed process: a store that writes
    them when it is closed would pass. Let a test of your own kill one."""

    tolerance: float = 1e-5
    """How far distances may be from the true ones, apart from those near 0 in L2,
    where a store that works in float32 may be off by 1e-3."""

    @abstractmethod
    def make_store(self, place: str = "one") -> VectorStore:
        """Open the store at `place`, empty when a test opens it first.

        Places stand for what keeps two applications apart: files, databases.
        """

    @pytest.fixture
    def store(self) -> Iterator[VectorStore]:
        """Give an empty store, closed after the test."""
        with self.make_store() as store:
            yield store

    @pytest.fixture
    def photos(self, store: VectorStore) -> VectorStore:
        """Give a store with an empty collection, `PHOTOS`."""
        store.ensure_collection(PHOTOS)
        return store

    @pytest.fixture(params=list(Metric))
    def spec(self, store: VectorStore, request: pytest.FixtureRequest) -> CollectionSpec:
        """Give the spec of an empty collection, for each metric of the store."""
        metric = Metric(request.param)
        if metric not in store.metrics:
            pytest.skip(f"{store!r} has no metric {metric.value!r}")
        spec = CollectionSpec(f"by_{metric.value}", 64, "model-1", metric)
        store.ensure_collection(spec)
        return spec


def keys_of(answers: Sequence[Sequence[Match]]) -> list[str]:
    """Return the keys that the first query has found."""
    return [match.key for match in answers[0]]
