"""Filters mean what their documentation says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onnxsearch import F, Filter, InvalidArgumentError, Metadata

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
        lambda: F("year") < 10**400,
        lambda: F("good") > True,
        lambda: F("place") == "\udfff",
        lambda: F("place").in_("Zürich"),
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


def test_filters_are_values() -> None:
    first, second = ((F("year") > 1) & (F("place") == "x") for _ in range(2))
    assert first.matches({"year": 2, "place": "x"})
    assert repr(first) == repr(second)
    assert {first: "found"}[second] == "found"


def test_joins_of_many_stay_flat() -> None:
    filter = F("year") == 0
    for year in range(1, 5_000):
        filter |= F("year") == year
    assert filter.matches({"year": 4_999})
