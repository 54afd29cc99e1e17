"""Fixtures of the vector store contract: the store, its collections, its limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import pytest

from onnxsearch.testing.vector_samples import PHOTOS
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, Match, VectorStore


class VectorStoreFixtures(ABC):
    """Settings by the author of a store, and the fixtures that the tests share."""

    durable: bool = True
    """Whether rows exist when the same place is opened again, after the first store was
    closed. If not, every call of `make_store` returns a new, empty store."""

    opens_twice: bool = True
    """Whether a place can be opened a second time while it is open, as by another process.
    If not, the contract cannot check that rows survive a killed process: a store that
    writes them only when it is closed would pass. Write a test of your own that kills one."""

    tolerance: float = 1e-5
    """Largest error of a distance. Near 0 in L2, where a store computes in float32, 1e-3 is
    allowed."""

    @abstractmethod
    def make_store(self, place: str = "one") -> VectorStore:
        """Open the store at `place`, empty when a test opens it first.

        A place is whatever separates two applications: a file, a database.
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
