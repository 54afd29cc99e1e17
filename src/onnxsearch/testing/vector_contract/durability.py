"""Tests of what remains when a store is closed, and when it is not."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsearch.errors import ClosedError, SpaceMismatchError
from onnxsearch.filters import F
from onnxsearch.testing.vector_contract.fixtures import VectorStoreFixtures, keys_of
from onnxsearch.testing.vector_samples import PHOTOS, key, random_vectors
from onnxsearch.types import Metadata
from onnxsearch.vectors.base import CollectionSpec


class DurabilityTests(VectorStoreFixtures):
    """Rows outlive the store, and a closed store refuses every call."""

    def test_keeps_rows_when_closed(self) -> None:
        """Rows, metadata or the fingerprint are gone when the store is opened again."""
        if not self.durable:
            pytest.skip("this store is not durable")
        vectors = random_vectors(PHOTOS, 30)
        with self.make_store() as store:
            store.ensure_collection(PHOTOS)
            rows: list[Metadata] = [{"n": n} for n in range(30)]
            store.upsert("photos", [key(n) for n in range(30)], vectors, rows)
            store.delete("photos", [key(7)])
        with self.make_store() as store:
            assert store.collections() == ["photos"]
            with pytest.raises(SpaceMismatchError):
                store.ensure_collection(CollectionSpec("photos", 8, "model-2"))
            store.ensure_collection(PHOTOS)
            assert store.count("photos") == 29
            assert keys_of(store.search("photos", vectors[3:4], 1)) == [key(3)]
            assert keys_of(store.search("photos", vectors[:1], 5, filter=F("n") == 20)) == [key(20)]

    def test_keeps_rows_before_it_is_closed(self) -> None:
        """Writes wait in memory until the store is closed, and a killed process loses them."""
        if not (self.durable and self.opens_twice):
            pytest.skip("this store is not durable, or cannot be opened twice")
        vectors = random_vectors(PHOTOS, 4)
        rows: list[Metadata] = [{"n": n} for n in range(3)]
        with self.make_store() as store:
            store.ensure_collection(PHOTOS)
            store.upsert("photos", [key(n) for n in range(3)], vectors[:3], rows)
            store.upsert("photos", [key(1)], vectors[3:], [{"n": 9}])
            store.delete("photos", [key(2)])
            with self.make_store() as second:
                assert second.describe("photos") == PHOTOS
                assert sorted(second.ids("photos")) == [key(0), key(1)]
                np.testing.assert_array_equal(second.fetch("photos", [key(1)])[key(1)], vectors[3])
                found = second.search("photos", vectors[:1], 5, filter=F("n") == 9)
                assert keys_of(found) == [key(1)]
            store.drop("photos")
            with self.make_store() as third:
                assert third.collections() == []

    def test_refuses_work_once_closed(self) -> None:
        """A closed store still works, or fails with an error of its back end."""
        store = self.make_store()
        store.ensure_collection(PHOTOS)
        store.close()
        store.close()
        for call in (
            lambda: store.count("photos"),
            lambda: store.ensure_collection(PHOTOS),
            lambda: store.search("photos", random_vectors(PHOTOS, 1), 1),
        ):
            with pytest.raises(ClosedError):
                call()
