"""Tests of an application that searches images, without a model and without servers.

cd examples && python -m pytest test_my_application.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsearch import (
    BrokenImageError,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    SearchEngine,
    Status,
    StoreUnavailableError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyVectorStore,
    picture,
    picture_bytes,
    write_pictures,
)


# [application]
class Shop:
    """The application: suggests products that look like a customer's photograph."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine

    def offer(self, number: str, photo: ImageInput, title: str) -> None:
        self._engine.add(photo, id=number, metadata={"title": title})

    def suggest(self, photo: ImageInput) -> list[str]:
        hits = self._engine.search(photo, limit=3)
        return [str(hit.metadata["title"]) for hit in hits if hit.distance < 1.3]


# [application end]


# [fixtures]
@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder(
        rankings={"customer's sofa": ["couch", "armchair"]},
        failures={"scratched": BrokenImageError("the image is damaged")},
    )


@pytest.fixture
def engine(embedder: FakeEmbedder) -> Iterator[SearchEngine]:
    with SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        yield engine


@pytest.fixture
def shop(engine: SearchEngine) -> Shop:
    shop = Shop(engine)
    for number, title in enumerate(["lamp", "armchair", "couch"]):
        shop.offer(str(number), picture(title), title)
    return shop


# [fixtures end]


# [tests]
def test_suggests_what_looks_alike_nearest_first(shop: Shop) -> None:
    assert shop.suggest(picture("customer's sofa")) == ["couch", "armchair"]


def test_takes_uploads(shop: Shop) -> None:
    assert shop.suggest(picture_bytes("customer's sofa")) == ["couch", "armchair"]


def test_replaces_an_offer(shop: Shop) -> None:
    shop.offer("2", picture("stool"), "stool")
    assert shop.suggest(picture("customer's sofa")) == ["armchair"]


def test_refuses_damaged_photographs(shop: Shop) -> None:
    with pytest.raises(BrokenImageError):
        shop.suggest(picture("scratched"))


def test_asks_the_model_once_per_suggestion(shop: Shop, embedder: FakeEmbedder) -> None:
    before = len(embedder.calls.prepared)
    shop.suggest(picture("customer's sofa"))
    assert embedder.calls.prepared[before:] == ("customer's sofa",)


def test_indexes_a_folder(engine: SearchEngine, tmp_path: Path) -> None:
    write_pictures(tmp_path, ["couch", "scratched"])
    report = engine.index(tmp_path)
    assert report.counts[Status.INDEXED] == 1
    assert [Path(failure.uri).stem for failure in report.failures] == ["scratched"]


# [tests end]


# [faults]
def test_keeps_the_old_offer_if_the_store_fails(embedder: FakeEmbedder) -> None:
    faults = Faults()
    vectors = FaultyVectorStore(InMemoryVectorStore(), faults)
    shop = Shop(SearchEngine(embedder, vectors, InMemoryMetadataStore()))
    shop.offer("7", picture("couch"), "couch")

    faults.fail(at=0)  # the next write to the vectors
    with pytest.raises(StoreUnavailableError):
        shop.offer("7", picture("stool"), "stool")

    assert shop.suggest(picture("customer's sofa")) == ["couch"]


# [faults end]
