"""Filters of any size and of the promised depth work in every store."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import accumulate
from operator import and_, or_
from pathlib import Path

import pytest

from onnxsearch import (
    CollectionSpec,
    F,
    Filter,
    InMemoryVectorStore,
    LocalVectorStore,
    Metadata,
    VectorStore,
)
from onnxsearch.filters import MOST_DEPTH
from onnxsearch.testing.vector_samples import key, random_vectors
from onnxsearch.vectors.milvus.filters import expression
from tests.servers import milvus_database

SPEC = CollectionSpec("photos", 8, fingerprint="model-1")
ROWS = 60
LEVELS = 48
"""Operators in one another that a Milvus server reads (measured with 2.3.5)."""


def value(number: int) -> int | float | str:
    return [number, number + 0.5, f"image {number}", f"{number}"][number % 4]


def row(number: int) -> Metadata:
    if number % 6 == 5:
        return {"number": number, "is": [True, False, None, "True", 1][number % 5]}
    return {"number": number, "is": value(number), "tags": [f"tag {number}"]}


@pytest.fixture(
    params=[
        "memory",
        "local",
        pytest.param("lite", marks=pytest.mark.integration),
        pytest.param("server", marks=pytest.mark.integration),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    with _open(request, tmp_path) as opened:
        opened.ensure_collection(SPEC)
        vectors = random_vectors(SPEC, ROWS)
        opened.upsert("photos", [key(n) for n in range(ROWS)], vectors, [*map(row, range(ROWS))])
        yield opened


def _open(request: pytest.FixtureRequest, folder: Path) -> VectorStore:
    if request.param == "memory":
        return InMemoryVectorStore()
    if request.param == "local":
        return LocalVectorStore(folder / "vectors.sqlite")
    from onnxsearch import MilvusVectorStore

    if request.param == "lite":
        pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
        return MilvusVectorStore(folder / "vectors.db")
    url = request.getfixturevalue("milvus_url")
    return MilvusVectorStore(url, db_name=milvus_database(url, "large_filters"))


def found(store: VectorStore, filter: Filter) -> set[int]:
    query = random_vectors(SPEC, 1)
    (matches,) = store.search("photos", query, ROWS, filter=filter)
    return {int(match.key, 16) for match in matches}


def test_ten_thousand_values_of_all_types(store: VectorStore) -> None:
    filter = F("is").in_([*map(value, range(20, 10_020)), True])
    wanted = {n for n in range(20, ROWS) if n % 6 != 5} | {5, 35}
    assert found(store, filter) == wanted
    assert found(store, ~filter) == set(range(ROWS)) - wanted
    assert found(store, filter & ~F("number").in_(range(30, 20_000))) == {
        n for n in wanted if n < 30
    }


def test_long_chains(store: VectorStore) -> None:
    equal = reduce(or_, [F("number") == n for n in range(40, 2_040)])
    assert found(store, equal) == set(range(40, ROWS))
    unequal = reduce(and_, [F("number") != n for n in range(100)])
    assert found(store, unequal) == set()
    tagged = reduce(or_, [F("tags").contains(f"tag {n}") for n in range(100)])
    assert found(store, tagged) == {n for n in range(ROWS) if n % 6 != 5}
    fields = reduce(or_, [F(f"field {n}").exists() for n in range(100)])
    assert found(store, fields | F("number").in_([3])) == {3}


def test_the_deepest_filters(store: VectorStore) -> None:
    narrow = deepest(width=1)
    assert narrow.depth == MOST_DEPTH
    assert found(store, narrow) == {n for n in range(ROWS) if narrow.matches(row(n))}
    wide = deepest(width=10)
    assert found(store, wide) == {n for n in range(ROWS) if wide.matches(row(n))}


@pytest.mark.integration
@pytest.mark.parametrize("width", [1, 2, 3, 100, 1_000])
def test_no_filter_is_deeper_than_a_milvus_server_reads(width: int) -> None:
    steps = ({"(": 1, ")": -1}.get(sign, 0) for sign in expression(deepest(width)))
    # One pair belongs to a function.
    assert max(accumulate(steps)) <= LEVELS + 1


def deepest(width: int) -> Filter:
    """Make a filter as deep as may be, with `width` conditions more on every level."""
    filter: Filter = F("is").exists()
    for level in range(MOST_DEPTH):
        if level % 5 == 4:
            filter = ~filter
        elif level % 2:
            absent = [F(f"field {n}").exists() for n in range(width - 1)]
            filter = reduce(or_, [*absent, F("number") == level, filter])
        else:
            common = [F("number") >= -n for n in range(width - 1)]
            filter = reduce(and_, [*common, F("number") != level, filter])
    return filter
