"""Tests of the collections of a store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat

import pytest

from onnxsearch.errors import (
    CollectionNotFoundError,
    InvalidArgumentError,
    SpaceMismatchError,
    StoreMismatchError,
)
from onnxsearch.testing.vector_contract.fixtures import VectorStoreFixtures
from onnxsearch.testing.vector_samples import PHOTOS, key, random_vectors
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec, VectorStore


class CollectionTests(VectorStoreFixtures):
    """Collections are made once, described, kept apart and dropped."""

    def test_describes_a_collection_as_it_was_made(
        self, store: VectorStore, spec: CollectionSpec
    ) -> None:
        """The store forgets dimension, metric or fingerprint, so spaces could mix."""
        store.ensure_collection(spec)
        assert store.describe(spec.name) == spec
        assert store.collections() == [spec.name]
        assert store.count(spec.name) == 0

    @pytest.mark.parametrize(
        "other",
        [
            CollectionSpec("photos", 8, "model-2"),
            CollectionSpec("photos", 16, "model-1"),
            CollectionSpec("photos", 8, "model-1", Metric.COSINE),
        ],
        ids=["fingerprint", "dimension", "metric"],
    )
    def test_refuses_another_space(self, photos: VectorStore, other: CollectionSpec) -> None:
        """The store opens a collection for another model, and would compare the incomparable."""
        if other.metric not in photos.metrics:
            pytest.skip(f"{photos!r} has no metric {other.metric.value!r}")
        with pytest.raises(SpaceMismatchError, match="model-1"):
            photos.ensure_collection(other)
        assert photos.describe("photos") == PHOTOS

    def test_keeps_the_owner_of_a_collection(self, store: VectorStore) -> None:
        """The store loses or replaces an owner, so that records of others delete the vectors."""
        store.ensure_collection(PHOTOS)
        mine = replace(PHOTOS, owner="1" * 32)
        store.ensure_collection(mine)
        owner = store.describe(PHOTOS.name).owner
        if owner is None:
            pytest.skip(f"{store!r} does not keep the owner of a collection")
        assert owner == mine.owner
        store.ensure_collection(PHOTOS)
        with pytest.raises(StoreMismatchError, match="1" * 32):
            store.ensure_collection(replace(PHOTOS, owner="2" * 32))
        assert store.describe(PHOTOS.name).owner == mine.owner
        store.drop(PHOTOS.name)
        store.ensure_collection(replace(PHOTOS, owner="2" * 32))
        assert store.describe(PHOTOS.name).owner == "2" * 32

    def test_refuses_a_metric_it_does_not_have(self, store: VectorStore) -> None:
        """The store takes a metric and measures by another one."""
        for metric in set(Metric) - store.metrics:
            with pytest.raises(InvalidArgumentError, match=metric.value):
                store.ensure_collection(CollectionSpec("photos", 8, "model-1", metric))

    def test_says_that_a_collection_is_not_there(self, store: VectorStore) -> None:
        """The store raises another error, or answers for a collection that is not there."""
        vectors = random_vectors(PHOTOS, 1)
        for call in (
            lambda: store.describe("photos"),
            lambda: store.upsert("photos", [key(1)], vectors),
            lambda: store.search("photos", vectors, 1),
            lambda: store.fetch("photos", [key(1)]),
            lambda: store.delete("photos", [key(1)]),
            lambda: store.count("photos"),
            lambda: list(store.ids("photos")),
        ):
            with pytest.raises(CollectionNotFoundError, match="photos"):
                call()
        assert store.collections() == []
        store.drop("photos")

    def test_drops_a_collection_with_its_rows(self, photos: VectorStore) -> None:
        """Dropped rows come back in a new collection of the same name, or another is hit."""
        other = CollectionSpec("others", 8, "model-1")
        photos.ensure_collection(other)
        vectors = random_vectors(PHOTOS, 2)
        for name in ("photos", "others"):
            photos.upsert(name, [key(1), key(2)], vectors)
            assert len(photos.search(name, vectors[:1], 5)[0]) == 2
        photos.drop("photos")
        photos.drop("photos")
        assert photos.collections() == ["others"]
        assert photos.count("others") == 2
        again = CollectionSpec("photos", 16, "model-2")
        photos.ensure_collection(again)
        assert photos.count("photos") == 0
        assert photos.search("photos", random_vectors(again, 1), 5) == [[]]

    def test_makes_a_collection_once_for_several_threads(self, store: VectorStore) -> None:
        """Two engines that open an album at once fail, or wipe each other's rows."""
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(store.ensure_collection, repeat(PHOTOS, 4)))
        assert store.describe("photos") == PHOTOS

    def test_keeps_places_apart(self, photos: VectorStore) -> None:
        """Two applications see each other's collections."""
        with self.make_store("two") as other:
            assert other.collections() == []
            other.ensure_collection(CollectionSpec("photos", 16, "model-2"))
            assert photos.describe("photos") == PHOTOS

    def test_has_a_name_for_messages(self, store: VectorStore) -> None:
        """The store has no repr of its own, which error messages show."""
        assert " object at 0x" not in repr(store)
