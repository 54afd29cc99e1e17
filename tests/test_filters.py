"""Filters mean what their documentation says."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from onnxsearch import (
    F,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metadata,
    SearchEngine,
)
from onnxsearch.filters import MOST_DEPTH, And, Not, Or, Scalar
from onnxsearch.testing import FakeEmbedder
from tests.vectors.strategies import ROWS, SCALARS

PHOTO: Metadata = {
    "year": 2020,
    "place": "Zürich",
    "good": True,
    "tags": ["cat", 3, False],
    "size": 1.5,
    "camera": None,
}


@pytest.mark.parametrize(
    ("filter", "matches"),
    [
        (F("year") == 2020, True),
        (F("year") == 2020.0, True),
        (F("year") != 2020, False),
        (F("year") != 2021, True),
        (F("year") > 2019.5, True),
        (F("year") >= 2020, True),
        (F("year") < 2020, False),
        (F("year") <= 2020, True),
        (F("year") == "2020", False),
        (F("year") != "2020", False),
        (F("place") >= "Z", True),
        (F("place") < "z", True),
        (F("good") == True, True),  # noqa: E712
        (F("good") == 1, False),
        (F("good") != 0, False),
        (F("year").in_([1, 2020]), True),
        (F("good").in_([1, "True"]), False),
        (F("year").in_([]), False),
        (F("tags").contains("cat"), True),
        (F("tags").contains("ca"), False),
        (F("tags").contains(3), True),
        (F("tags").contains(False), True),
        (F("tags").contains(0), False),
        (F("place").contains("Z"), False),
        (F("place").startswith("Zü"), True),
        (F("place").startswith("zü"), False),
        (F("year").startswith("2"), False),
        (F("year").exists(), True),
        (F("camera").exists(), False),
        (F("absent").exists(), False),
        (F("absent") == 1, False),
        (F("absent") != 1, False),
        (~(F("absent") == 1), True),
        (~(F("absent") != 1), True),
        ((F("year") == 2020) & (F("good") == True), True),  # noqa: E712
        ((F("year") == 2020) & (F("good") == False), False),  # noqa: E712
        ((F("year") == 1) | (F("good") == True), True),  # noqa: E712
        (~((F("year") == 1) | (F("good") == True)), False),  # noqa: E712
    ],
    ids=str,
)
def test_matches(filter: Filter, matches: bool) -> None:
    assert filter.matches(PHOTO) is matches


@pytest.mark.parametrize(
    "make",
    [
        lambda: F(1),  # type: ignore[arg-type]
        lambda: F("\ud800"),
        lambda: F("year") == None,  # noqa: E711
        lambda: F("year") == [2020],
        lambda: F("year") == F("other"),  # type: ignore[operator]
        lambda: F("year") < float("nan"),
        lambda: F("year") < float("inf"),
        lambda: F("year") < 2**63,
        lambda: F("year") < -(2**63) - 1,
        lambda: F("year") < 10**400,
        lambda: F("good") > True,
        lambda: F("place") == "\udfff",
        lambda: F("year") == 10**5_000,
        lambda: F("place").in_("Zürich"),
        lambda: F("place").in_(b"ab"),  # type: ignore[arg-type]
        lambda: F("place").in_(5),  # type: ignore[arg-type]
        lambda: F("place").in_(None),  # type: ignore[arg-type]
        lambda: F("place").in_([None]),  # type: ignore[list-item]
        lambda: F("place").startswith(1),  # type: ignore[arg-type]
        lambda: F("tags").contains({}),  # type: ignore[arg-type]
        lambda: (F("year") > 1) & True,  # type: ignore[operator]
    ],
)
def test_refuses_values_that_metadata_cannot_hold(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


@pytest.mark.parametrize(
    "use",
    [
        lambda: 2000 <= F("year") <= 2020,
        lambda: (F("year") > 1) and (F("year") < 3),
        lambda: not F("year").exists(),
    ],
)
def test_tells_those_who_write_and_to_use_the_operator(use: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError, match="&"):
        use()


@pytest.mark.parametrize(
    "given",
    [F("archived"), "year > 3", {"year": 3}, lambda row: True, 0, ()],
    ids=["field", "text", "dict", "function", "zero", "empty"],
)
def test_what_is_no_filter_is_refused_before_an_image_is_read(given: Any) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    for search in (
        lambda: engine.search("absent.jpg", filter=given),
        lambda: engine.search_many(["absent.jpg"], filter=given),
        lambda: (F("year") > 1) | given,
        lambda: Not(given),
    ):
        with pytest.raises(InvalidArgumentError, match=r"not a filter.* == True.*exists\(\)"):
            search()


def test_filters_are_values() -> None:
    first, second = ((F("year") > 1) & (F("place") == "x") for _ in range(2))
    assert first.matches({"year": 2, "place": "x"})
    assert repr(first) == repr(second)
    assert {first: "found"}[second] == "found"
    assert pickle.loads(pickle.dumps(first)) == first
    assert F("a").in_([1, "b"]) == F("a").in_(["b", 1.0, 1])
    assert F("a").contains(1) != F("a").contains(True)
    assert F("a").in_([0]) != F("a").in_([False])


@given(value=SCALARS, other=SCALARS)
@example(value=1, other=True)
@example(value=0.0, other=False)
@example(value=1, other=1.0)
def test_comparisons_are_equal_if_they_match_the_same(value: Scalar, other: Scalar) -> None:
    first, second = F("a") == value, F("a") == other
    same = first.matches({"a": other})
    assert second.matches({"a": value}) is same
    assert (first == second) is same
    assert ({first: "found"}.get(second) == "found") is same


@given(row=ROWS, values=st.lists(SCALARS))
def test_one_of_is_any_of(row: Metadata, values: list[Scalar]) -> None:
    equal = any((F("a") == value).matches(row) for value in values)
    assert F("a").in_(values).matches(row) is equal


def test_joins_of_many_stay_flat() -> None:
    filter = F("year") == 0
    for year in range(1, 2_000):
        filter |= F("year") == year
    assert filter.matches({"year": 1_999})
    assert filter.depth == 1
    left = (F("a") == 1) & (F("b") == 1)
    right = (F("c") == 1) & (F("d") == 1)
    assert left & right == (F("a") == 1) & (F("b") == 1) & (F("c") == 1) & (F("d") == 1)


def test_twice_turned_is_unturned() -> None:
    filter = F("year") == 2020
    assert ~~filter is filter
    for _ in range(5_000):
        filter = ~filter
    assert filter == (F("year") == 2020)


def test_depth_is_bounded_where_a_filter_is_made() -> None:
    filter = F("year") > 0
    for level in range(MOST_DEPTH):
        assert filter.depth == level
        filter = ~filter if level % 3 == 2 else _join(filter, level)
    assert filter.depth == MOST_DEPTH
    assert hash(filter) == hash(pickle.loads(pickle.dumps(filter)))
    assert repr(filter).count("year") == 1
    filter.matches(PHOTO)
    for deeper in (lambda: Not(filter), lambda: And((filter,)), lambda: Or((PHOTOS, filter))):
        with pytest.raises(InvalidArgumentError, match=str(MOST_DEPTH)):
            deeper()


PHOTOS = F("kind") == "photo"


def _join(filter: Filter, level: int) -> Filter:
    return filter & PHOTOS if level % 3 else filter | PHOTOS
