"""Searches that an engine answers together: each as if it were alone, bit for bit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from onnxsearch import (
    AsyncSearchEngine,
    Embedder,
    F,
    ImageInput,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    Query,
    SearchEngine,
    SearchResults,
    SQLiteMetadataStore,
    StoreUnavailableError,
    Tensor,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyVectorStore,
    picture,
    picture_bytes,
    write_pictures,
)

PATIENCE = 30.0
NAMES = [f"image {number}" for number in range(20)]

Answer = SearchResults | tuple[type[Exception], str]
Call = tuple[object, dict[str, Any]]


class Sums(Embedder):
    """A model whose vectors depend on the batch in their last bits, as sums on a GPU do."""

    name, dimension, fingerprint = "sums", 4, "sums"

    def prepare(self, image: ImageInput) -> Tensor:
        assert isinstance(image, Image.Image)
        return np.asarray(image.convert("RGB").resize((2, 2)), np.float32).ravel()[:4]

    def run(self, batch: Tensor) -> Tensor:
        return (batch + 1) * (1 + len(batch) * 1e-4 * np.arange(4, dtype=np.float32))


class Words(FakeEmbedder):
    """A fake that embeds text as the image of that name."""

    def embed_text(self, texts: str | Sequence[str]) -> Any:
        names = [texts] if isinstance(texts, str) else texts
        return self.embed([picture(name) for name in names])


def filled(engine: SearchEngine) -> SearchEngine:
    for number, name in enumerate(NAMES):
        metadata = {"number": number % 3, "flag": number % 2 == 0}
        engine.add(picture_bytes(name), id=name, metadata=metadata)
    return engine


def in_memory(*embedders: Embedder, **options: Any) -> SearchEngine:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    return SearchEngine(embedders or [Words()], *stores, **{"workers": 2, **options})


@pytest.fixture(scope="module")
def stored() -> SearchEngine:
    return filled(in_memory(Words("one"), Words("two")))


def outcome(search: Callable[[], SearchResults]) -> Answer:
    try:
        return search()
    except Exception as error:
        return type(error), str(error)


def alone(engine: SearchEngine, calls: Sequence[Call]) -> list[Answer]:
    return [outcome(lambda: engine.search(query, **options)) for query, options in calls]  # type: ignore[arg-type] # noqa: B023


def together(engine: SearchEngine, calls: Sequence[Call], **how: Any) -> list[Answer]:
    async def ask() -> list[Any]:
        async with AsyncSearchEngine(engine, **how) as ours:
            async with asyncio.timeout(PATIENCE):
                searches = (ours.search(query, **options) for query, options in calls)  # type: ignore[arg-type]
                return await asyncio.gather(*searches, return_exceptions=True)

    answers = asyncio.run(ask())
    return [(type(a), str(a)) if isinstance(a, Exception) else a for a in answers]


QUERIES: list[object] = [
    *map(picture, NAMES[:4]),
    picture_bytes("elsewhere"),
    Query.id("image 3"),
    Query.id("image 4"),
    Query.text("image 5"),
    Query.vector(np.ones(16, np.float32)),
    Query.vector(np.ones(3, np.float32)),
    Query.examples(like=[Query.id("image 1"), picture("image 2")], unlike=[picture("x")]),
    Query.id("nobody"),
    b"no image",
    "no/such/file.jpg",
    None,
    [1, 2],
]
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.sampled_from([1, 3, 30, 0]),
        "offset": st.sampled_from([0, 2]),
        "model": st.sampled_from([None, "one", "two", "three", 3]),
        "models": st.sampled_from([["one", "two"], ["one", "one"]]),
        "filter": st.sampled_from([F("number") == 1, F("flag") == True, F("flag") == 1, 5]),  # noqa: E712
        "exclude": st.sampled_from(["image 1", ["image 1", "image 2"]]),
        "exclude_query": st.booleans(),
        "max_distance": st.sampled_from([0.5, 1.2]),
        "min_score": st.sampled_from([0.2]),
        "group_by": st.sampled_from(["number"]),
        "diversity": st.sampled_from([0.5]),
    },
)
CALLS = st.lists(st.tuples(st.sampled_from(QUERIES), OPTIONS), min_size=1, max_size=12)


@settings(max_examples=25)
@given(CALLS)
def test_each_is_answered_as_if_it_were_alone(stored: SearchEngine, calls: list[Call]) -> None:
    assert together(stored, calls) == alone(stored, calls)


def test_in_files(tmp_path: Path) -> None:
    with (
        LocalVectorStore(tmp_path / "vectors.sqlite") as vectors,
        SQLiteMetadataStore(tmp_path / "records.sqlite") as records,
    ):
        engine = filled(SearchEngine(Words(), vectors, records, workers=2))
        files = write_pictures(tmp_path, NAMES[:5])
        calls: list[Call] = [(query, {"limit": 7}) for query in [*QUERIES, *files]]
        assert together(engine, calls) == alone(engine, calls)


def test_queries_are_embedded_and_searched_for_together() -> None:
    model, faults = FakeEmbedder(), Faults()
    store = FaultyVectorStore(InMemoryVectorStore(), faults)
    engine = filled(SearchEngine(model, store, InMemoryMetadataStore(), workers=2, batch_size=4))
    queries: list[Call] = [(picture(name), {}) for name in NAMES[:8]]
    together(engine, queries)  # the first batch of a size is compared with its images alone
    before = len(model.calls.batches)
    faults.revive()
    together(engine, queries)
    assert model.calls.batches[before:] == (4, 4)
    assert faults.reads.count("search") == 1
    before = len(model.calls.batches)
    faults.revive()
    together(engine, queries, batching=False)
    assert model.calls.batches[before:] == (1,) * 8
    assert faults.reads.count("search") == 8


def test_a_model_whose_vectors_depend_on_the_batch_runs_image_by_image() -> None:
    engine = filled(in_memory(Sums(), batch_size=4))
    calls: list[Call] = [(picture(f"query {number}"), {}) for number in range(9)]
    assert list(engine.search_many([query for query, _ in calls])) != alone(engine, calls)  # type: ignore[misc]
    for _ in range(2):
        assert together(engine, calls) == alone(engine, calls)


def test_a_damaged_image_costs_the_others_nothing() -> None:
    model = FakeEmbedder()
    engine = filled(in_memory(model, batch_size=4))
    calls: list[Call] = [(picture(name), {}) for name in NAMES[:7]] + [(b"damaged", {})]
    together(engine, calls)
    before = len(model.calls.batches)
    assert together(engine, calls) == alone(engine, calls)
    assert model.calls.batches[before : before + 2] in ((4, 3), (3, 4))


def test_an_open_file_is_read_once() -> None:
    engine = filled(in_memory())
    files = [BytesIO(picture_bytes(name)) for name in NAMES[:3]] + [BytesIO(b"damaged")]
    first, *_, last = together(engine, [(file, {"limit": 1}) for file in files])
    assert isinstance(first, SearchResults)
    assert first.ids == ["image 0"]
    assert last == outcome(lambda: engine.search(b"damaged"))


def test_an_open_file_that_fails_to_be_searched_is_read_once() -> None:
    class Once(FakeEmbedder):
        failed = False

        def run(self, batch: Tensor) -> Tensor:
            if len(batch) > 1:
                raise RuntimeError("out of memory")
            return super().run(batch)

    engine = filled(in_memory(Once()))
    files = [BytesIO(picture_bytes(name)) for name in NAMES[:4]]
    answers = together(engine, [(file, {"limit": 1}) for file in files])
    assert [a.ids for a in answers if isinstance(a, SearchResults)] == [[n] for n in NAMES[:4]]


def test_a_store_that_fails_is_asked_once() -> None:
    faults = Faults()
    store = FaultyVectorStore(InMemoryVectorStore(), faults)
    engine = filled(SearchEngine(FakeEmbedder(), store, InMemoryMetadataStore(), workers=2))
    faults.fail(on="search")
    answers = together(engine, [(picture(name), {}) for name in NAMES[:5]])
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} == {StoreUnavailableError}
    assert len(answers) == 5
    assert faults.reads.count("search") == 1


def test_each_counts_as_a_search() -> None:
    engine = filled(in_memory())
    together(engine, [*((picture(name), {}) for name in NAMES[:6]), (b"damaged", {})])
    searches = engine.stats().operations["search"]
    assert (searches.count, searches.failures, searches.items) == (7, 1, 7)
    assert engine.stats().steps["vectors.search"].items == 6


def test_an_unknown_argument() -> None:
    async def ask() -> None:
        async with AsyncSearchEngine(in_memory()) as engine:
            with pytest.raises(TypeError, match="colour"):
                await engine.search(picture("a"), colour="red")  # type: ignore[call-arg]

    asyncio.run(ask())
