"""Metadata and filters for hypothesis, with values that are easily confused."""

from __future__ import annotations

from hypothesis import strategies as st

from onnxsearch import F, Filter, Metadata

NAMES = st.sampled_from(["a", "b", 'it\'s "c"', ""])
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e300]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.one_of(
    st.sampled_from(["", "a", "ab", "A", "1", "%", "_", "'", "é"]), st.text(max_size=3)
)
SCALARS = st.one_of(st.booleans(), NUMBERS, TEXTS)
SIMPLE = st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3), st.just({"a": 1}))
VALUES = st.one_of(SIMPLE, st.dictionaries(NAMES, SIMPLE, max_size=2))
FIELDS = st.one_of(
    st.sampled_from(["a", "b", 'it\'s "c"']).map(F),
    st.lists(NAMES, min_size=1, max_size=3).map(lambda names: F(*names)),
)
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda field, value: field == value, FIELDS, SCALARS),
    st.builds(lambda field, value: field != value, FIELDS, SCALARS),
    st.builds(lambda field, value: field < value, FIELDS, NUMBERS | TEXTS),
    st.builds(lambda field, value: field <= value, FIELDS, NUMBERS | TEXTS),
    st.builds(lambda field, value: field > value, FIELDS, NUMBERS | TEXTS),
    st.builds(lambda field, value: field >= value, FIELDS, NUMBERS | TEXTS),
    st.builds(lambda field, values: field.in_(values), FIELDS, st.lists(SCALARS, max_size=20)),
    st.builds(lambda field, value: field.contains(value), FIELDS, SCALARS),
    st.builds(lambda field, prefix: field.startswith(prefix), FIELDS, TEXTS),
    st.builds(lambda field: field.exists(), FIELDS),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda left, right: left & right, inner, inner),
        st.builds(lambda left, right: left | right, inner, inner),
        st.builds(lambda part: ~part, inner),
    ),
    max_leaves=12,
)
ROWS: st.SearchStrategy[Metadata] = st.dictionaries(NAMES, VALUES, max_size=3)
