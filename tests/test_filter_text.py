"""Filters as text and as JSON, and the values that they compare."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
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
from onnxsearch.filters import MOST_DEPTH, MOST_NAMES, And, Not, Or
from onnxsearch.filters.parser import MOST_CHARACTERS
from onnxsearch.testing import FakeEmbedder, picture
from tests.vectors.strategies import FILTERS, ROWS, TEXTS

NAMES = st.one_of(TEXTS, st.text(alphabet="aé_1.` \\\n'\"", max_size=4), st.just("in"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("price < 20 and tags contains 'cup'", (F("price") < 20) & F("tags").contains("cup")),
        ("a==1 or b==2 and not c==3", (F("a") == 1) | ((F("b") == 2) & ~(F("c") == 3))),
        ("(a == 1 or b == 2) and c == 3", ((F("a") == 1) | (F("b") == 2)) & (F("c") == 3)),
        ("not not a exists", F("a").exists()),
        ("NOT a IN [1, -2.5e3, 'x', TRUE,]", ~F("a").in_([1, -2500.0, "x", True])),
        ("a not in []", ~F("a").in_([])),
        ("a not contains false", ~F("a").contains(False)),
        ('a not startswith "x" and b exists', ~F("a").startswith("x") & F("b").exists()),
        ("camera.make != 'X'", F("camera", "make") != "X"),
        ("`camera.make` != 'X'", F("camera.make") != "X"),
        ("`in`.`it's` >= .5", F("in", "it's") >= 0.5),
        ("größe <= +3", F("größe") <= 3),
        (r"a == 'it\'s \u00e9\ud83e\udd8a\n\\'", F("a") == "it's é🦊\n\\"),
        (r"`a\`b` == ''", F("a`b") == ""),
        ("\n\ta\n>\n1 ", F("a") > 1),
        ("a >= 2026-01-31", F("a") >= date(2026, 1, 31)),
        ("a < 2026-01-31T12:30", F("a") < datetime(2026, 1, 31, 12, 30)),
        ("a < 2026-01-31T12:30:05.25", F("a") < datetime(2026, 1, 31, 12, 30, 5, 250_000)),
        (
            "a == 2026-01-31T12:30:00+02:00",
            F("a") == datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("a == 2026-01-31T10:30Z", F("a") == datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("a startswith 2026-01-31", F("a").startswith("2026-01-31")),
    ],
)
def test_reads_text(text: str, wanted: Filter) -> None:
    assert F.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", 1, "name of a field"),
        ("price", 6, "expected one of =="),
        ("price = 20", 7, "=="),
        ("price == 20 && new == true", 13, "`and`"),
        ("price == 20 also", 13, "`and`, `or`, or the end, found 'also'"),
        ("price == ", 10, "found the end"),
        ("price == null", 10, "text in quotation marks"),
        ("price == 'x", 10, "not closed"),
        ("`price == 1", 1, "not closed"),
        ("price in 3", 10, "`[`"),
        ("price in [1 2]", 13, "`,` or `]`"),
        ("price in [1", 12, "`,` or `]`"),
        ("(price == 1", 12, "`)`"),
        ("price == 1)", 11, "or the end"),
        ("in == 1", 1, "`in`"),
        ("a. == 1", 4, "name of a field"),
        ("a == 12px", 6, "a number"),
        ("a == 2026-02-30", 6, "day"),
        ("a == 1e999", 1, "finite"),
        ("a == 9223372036854775808", 1, "64"),
        ("a == " + "9" * 5_000, 6, "cannot be read"),
        ("a > true", 1, "no order"),
        (r"a == 'x\q'", 6, "unknown escape"),
        (r"a == '\ud800'", 6, "surrogate"),
        ("a startswith 5", 14, "text"),
        ("a like 'x'", 3, "contains, startswith"),
        ("a == 1; drop", 7, "no meaning"),
        ("(" * 10_000 + "a == 1", 49, "deep"),
        ("not " * 10_000 + "a == 1", 193, "deep"),
        (".".join("abcdefghij") + " exists", 1, str(MOST_NAMES)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_shows_where_text_is_no_filter(text: str, place: int, reason: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        F.parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"filter, character {place}: ")
    assert reason in first
    under = shown[caret.index("^") :][:1]
    assert under == text[place - 1 : place]
    assert len(shown) < 80


@pytest.mark.parametrize("place", [0, 11, 33, 44, 55, 99])
def test_a_caret_stands_below_what_is_wrong(place: int) -> None:
    text = "a == 1 and " * 12
    with pytest.raises(InvalidArgumentError) as caught:
        F.parse(text[:place] + "§" + text[place:])
    _, shown, caret = str(caught.value).split("\n")
    assert shown[len(caret) - 1] == "§"
    assert caret.strip() == "^"


@pytest.mark.parametrize(
    "text",
    [
        "a == 1",
        "a in [1, 2]",
        "a contains 'b'",
        "a startswith 'b'",
        "a exists",
        "a == 1 and b == 2",
        "a == 1 or b == 2",
        "not a == 1",
    ],
)
def test_every_kind_shows_the_call_that_makes_it(text: str) -> None:
    filter = F.parse(text)
    assert repr(filter) == f"F.parse({str(filter)!r})"


def test_parentheses_nest_48_levels_deep_however_many_stand_side_by_side() -> None:
    deepest = "(" * 48 + "a == 1" + ")" * 48
    assert F.parse(" and ".join([deepest] * 3)) == F.parse("a == 1 and a == 1 and a == 1")
    with pytest.raises(InvalidArgumentError, match="nested more than 48 levels deep"):
        F.parse(f"({deepest})")


def test_integers_of_64_bits_are_values() -> None:
    for number in (2**63 - 1, -(2**63)):
        assert F.parse(str(F("a") == number)).matches({"a": number})


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (30, 29, "{0}={1}"),
        (31, 29, "…{0}={1}"),
        (30, 30, "{0}={1}…"),
        (500, 500, "…{0}={1}…"),
    ],
)
def test_shows_thirty_characters_on_both_sides(before: int, after: int, shown: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        F.parse("a" * before + "=" + "b" * after)
    assert str(caught.value).split("\n")[1].strip() == shown.format("a" * 30, "b" * 29)


def test_a_filter_may_be_long_but_not_endless() -> None:
    text = " or ".join(f"a == {number}" for number in range(10_000))
    assert F.parse(text).matches({"a": 9_999})
    with pytest.raises(InvalidArgumentError, match="524,288"):
        F.parse("a" * (MOST_CHARACTERS + 1))


def test_reads_the_deepest_filters_back() -> None:
    filter = F("a") > 0
    for level in range(MOST_DEPTH):
        filter = ~filter if level % 3 == 2 else _joined(filter, level)
    assert filter.depth == MOST_DEPTH
    assert F.parse(str(filter)) == filter
    assert F.from_dict(filter.to_dict()) == filter
    for read in (
        lambda: F.parse(f"b exists or ({filter})"),
        lambda: F.from_dict({"or": [filter.to_dict()]}),
        lambda: F.from_dict({"or": [{"and": [filter.to_dict()]}]}),
    ):
        with pytest.raises(InvalidArgumentError, match=f"deep.*{MOST_DEPTH}|{MOST_DEPTH}.*deep"):
            read()


def _joined(filter: Filter, level: int) -> Filter:
    return filter & F("b").exists() if level % 3 else filter | F("b").exists()


@given(filter=FILTERS)
def test_reads_back_what_it_writes(filter: Filter) -> None:
    assert F.parse(str(filter)) == filter
    assert eval(repr(filter), {"F": F}) == filter
    assert F.from_dict(json.loads(json.dumps(filter.to_dict()))) == filter


@given(names=st.lists(NAMES, min_size=1, max_size=MOST_NAMES), value=NAMES)
def test_reads_back_any_name_and_text(names: list[str], value: str) -> None:
    filter = F(*names) == value
    assert F.parse(str(filter)) == filter
    assert F.from_dict(filter.to_dict()) == filter
    assert str(filter).isprintable() or not "".join([*names, value]).isprintable()


@pytest.mark.parametrize(
    "filter",
    [And(()), Or(()), Not(And(())), And((F("a") == 1,)), Or((And((F("a") == 1,)), F("b") == 1))],
    ids=str,
)
@given(row=ROWS)
def test_unusual_joins_keep_their_meaning(filter: Filter, row: Metadata) -> None:
    for read in (F.parse(str(filter)), F.from_dict(filter.to_dict())):
        assert read.matches(row) is filter.matches(row)


PARTS = st.sampled_from(
    [*"()[],.<>=`'\"\\ \n", "and ", "or ", "not ", "in ", "exists ", "a", "1", "2026-01-31", "=="]
)


@given(text=st.one_of(st.text(), st.text(string.printable), st.lists(PARTS).map("".join)))
@example(text="\ud800")
@example(text="a == '\\")
def test_hostile_text_is_a_filter_or_refused(text: str) -> None:
    try:
        filter = F.parse(text)
    except InvalidArgumentError:
        return
    assert F.parse(str(filter)) == filter


@pytest.mark.parametrize(
    "text",
    [
        "'" + "\\x" * 100_000,
        "a == " + "1" * 100_000 + "x",
        "a == ." + "1" * 100_000 + "e",
        " " * 500_000,
        "a " * 100_000,
        "a in [" + "1," * 100_000,
        "a." * 100_000,
        "`" + "\\\\" * 100_000,
    ],
    ids=lambda text: text[:8],
)
def test_long_hostile_text_is_refused_soon(text: str) -> None:
    # Anything but linear time would take minutes.
    with pytest.raises(InvalidArgumentError):
        F.parse(text)


CIRCLE: dict[str, Any] = {}
CIRCLE["not"] = CIRCLE
JOINED_CIRCLES: list[dict[str, Any]] = [{}, {}]
JOINED_CIRCLES[0]["and"] = JOINED_CIRCLES[:1]
JOINED_CIRCLES[1]["or"] = JOINED_CIRCLES[1:]


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        CIRCLE,
        *JOINED_CIRCLES,
        {"field": "a"},
        {"lt": 3},
        {"field": "a", "like": "x"},
        {"field": "a", "lt": 3, "gt": 1},
        {"field": "a", "exists": False},
        {"field": "a", "exists": 1},
        {"field": "a", "in": "abc"},
        {"field": "a", "in": {"b": 1}},
        {"field": "a", "eq": None},
        {"field": "a", "eq": [1]},
        {"field": "a", "gt": True},
        {"field": "a", "startswith": 1},
        {"field": 3, "eq": 1},
        {"field": [], "eq": 1},
        {"field": ["a", 1], "eq": 1},
        {"field": ["a"] * (MOST_NAMES + 1), "eq": 1},
        {"and": {"field": "a", "eq": 1}},
        {"and": [1]},
        {"and": [], "or": []},
        {"not": []},
        {3: []},
    ],
    ids=str,
)
def test_mappings_that_are_no_filters_are_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        F.from_dict(given)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["and", "or", "not", "field", "eq", "in", "exists", "x"]),
            inner,
            max_size=3,
        ),
    ),
)


@given(given=JSON)
def test_hostile_json_is_a_filter_or_refused(given: Any) -> None:
    try:
        filter = F.from_dict(given)
    except InvalidArgumentError:
        return
    assert F.from_dict(filter.to_dict()) == filter


MOMENTS = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    st.datetimes(
        datetime(1900, 1, 1),
        datetime(2100, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    ),
)


@given(one=MOMENTS, other=MOMENTS)
def test_times_compare_as_times(one: datetime, other: datetime) -> None:
    """A time without a zone counts as one of UTC, before the one that says so."""
    row = _stored({"at": one})
    times = [
        (moment.astimezone(UTC).replace(tzinfo=None), True) if moment.tzinfo else (moment, False)
        for moment in (one, other)
    ]
    assert (F("at") < other).matches(row) is (times[0] < times[1])
    assert (F("at") >= other).matches(row) is (times[0] >= times[1])


def _stored(metadata: Any) -> Metadata:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    engine.add(picture("a"), id="a", metadata=metadata)
    record = engine.get("a")
    assert record is not None
    return record.metadata


def test_metadata_take_dates_and_times() -> None:
    stored = _stored(
        {
            "day": date(2026, 1, 31),
            "at": datetime(2026, 1, 31, 12, 30),
            "all": [datetime(2026, 1, 31, 12, 30, 0, 1, UTC), {"x": date(2026, 1, 1)}],
        }
    )
    assert stored == {
        "day": "2026-01-31",
        "at": "2026-01-31T12:30:00",
        "all": ["2026-01-31T12:30:00.000001+00:00", {"x": "2026-01-01"}],
    }
    assert (F("day") == date(2026, 1, 31)).matches(stored)
    assert (F("at") > date(2026, 1, 31)).matches(stored)
    assert not (F("at") >= date(2026, 2, 1)).matches(stored)
    assert F("at").in_([datetime(2026, 1, 31, 12, 30), date(2026, 1, 1)]).matches(stored)
    assert F("all").contains(datetime(2026, 1, 31, 12, 30, 0, 1, UTC)).matches(stored)


class Missing(datetime):
    """What pandas has in place of a time that is missing."""

    def isoformat(self, *arguments: Any, **options: Any) -> str:
        return "NaT"


@pytest.mark.parametrize(
    "make",
    [
        lambda: F("at") < datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        lambda: F("at") == Missing(2026, 1, 1),
        lambda: F("at") == timedelta(1),  # type: ignore[operator]
        lambda: _stored({"at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}),
        lambda: _stored({"at": Missing(2026, 1, 1)}),
        lambda: F("a", 3),  # type: ignore[arg-type]
        lambda: F(*"abcdefghi"),
    ],
)
def test_refuses_what_is_no_time_or_field(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


def test_nested_fields() -> None:
    row: Metadata = {"camera": {"make": "X", "lens": {"mm": 35}}, "camera.make": "Y", "tags": [{}]}
    assert (F("camera", "make") == "X").matches(row)
    assert (F("camera.make") == "Y").matches(row)
    assert (F("camera", "lens", "mm") > 30).matches(row)
    assert F("camera", "lens").exists().matches(row)
    assert not F("camera", "make", "x").exists().matches(row)
    assert not F("tags", "0").exists().matches(row)
    assert repr(F("camera", "make")) == "F('camera', 'make')"
