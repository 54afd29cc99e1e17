"""Haystack's filters mean in an engine what they mean in Haystack's stores."""

from __future__ import annotations

from typing import Any

import pytest

from onnxsearch import F, InvalidArgumentError
from onnxsearch.integrations.haystack_filters import as_filter


def condition(operator: str, value: object, field: str = "meta.year") -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (condition("==", 2000), F("year") == 2000),
        (condition("!=", 2000), ~(F("year") == 2000)),
        (condition("==", None), ~F("year").exists()),
        (condition("!=", None), F("year").exists()),
        (condition(">=", "2020-01-31"), F("year") >= "2020-01-31"),
        (condition("<", 1.5), F("year") < 1.5),
        (condition("<", None), F("year").in_([])),
        (condition("in", [1, 2]), F("year").in_([1, 2])),
        (condition("not in", [1, 2]), ~F("year").in_([1, 2])),
        (condition("==", True, "meta.camera.digital"), F("camera", "digital") == True),  # noqa: E712
        (condition("==", "x", "name"), F("name") == "x"),
        (
            {
                "operator": "OR",
                "conditions": [
                    {"operator": "NOT", "conditions": [condition("==", 1), condition("==", 2)]},
                    {"operator": "AND", "conditions": [condition(">", 1), condition("<", 2)]},
                ],
            },
            ~((F("year") == 1) & (F("year") == 2)) | ((F("year") > 1) & (F("year") < 2)),
        ),
    ],
)
def test_a_filter_of_haystack_is_one_of_ours(filters: dict[str, Any], expected: object) -> None:
    assert as_filter(filters) == expected


def test_no_filter() -> None:
    assert as_filter(None) is None
    assert as_filter({}) is None


def circle() -> dict[str, Any]:
    filters: dict[str, Any] = {"operator": "AND", "conditions": []}
    filters["conditions"].append(filters)
    return filters


@pytest.mark.parametrize(
    "filters",
    [
        condition("==", [1]),
        condition(">", "later"),
        condition(">", [1]),
        condition("in", 1),
        condition("in", (1, 2)),
        condition("in", [[1]]),
        condition("like", "a%"),
        condition("==", 1, "content"),
        condition("==", float("nan")),
        {"field": "meta.year", "operator": "=="},
        {"operator": "XOR", "conditions": [condition("==", 1)]},
        {"operator": "AND", "conditions": []},
        {"operator": "AND"},
        {"conditions": [condition("==", 1)]},
        {"year": 2000},
        [condition("==", 1)],
        "year == 2000",
        circle(),
    ],
)
def test_what_is_no_filter_is_refused(filters: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        as_filter(filters)
