"""Vectors, metadata and filters for tests of vector stores, and the distances to expect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

from onnxsearch.filters import F, Filter
from onnxsearch.types import Metadata, Metric
from onnxsearch.vectors.base import CollectionSpec, Vectors

PHOTOS = CollectionSpec("photos", 8, fingerprint="model-1")

ROWS: Sequence[Metadata] = (
    {},
    {"year": 2019, "tags": ["cat", "sofa"], "place": "Bern", "good": True},
    {"year": 2020, "tags": [], "place": "Berlin", "good": False},
    {"year": 2020.5, "tags": ["cat", 1, True, None, {"a": 1}], "place": "berlin"},
    {"year": "2020", "tags": "cat", "place": "", "good": 1},
    {"year": None, "place": 'it\'s "quoted" \\ [x] {y} %_ \0 \n 🦊', "good": "true"},
    {"year": -(2**63), "place": "Zürich", "nested": {"place": "Bern"}},
    {"year": 2**53 + 1, "place": "🦊"},
    {"year": 1e300, "it's \"odd\\": 1, "place": ["Bern"]},
    {"year": -0.0, "place": "[1]"},
    {"year": True, "tags": [["cat"], "CAT", 2020]},
    {"nested": {"place": {"name": "Bern", "zip": None}, "year": 2020, "tags": ["cat"]}},
    {"nested": {}, "nested.place": "Bern", "nestedxplace": "Bern"},
    {"nested": [{"place": "Bern"}], "taken": "2026-01-31T12:30:00"},
    {"nested": "place", "taken": "2026-01-31T12:30:00.500000", "": {"": "Bern"}},
    {"nested": {"place": "Zürich", "it's \"odd\\": True}, "taken": "2026-01-31T10:30:00+00:00"},
)
"""Metadata that are easily confused."""

FILTERS: Sequence[Filter] = (
    F("year") == 2020,
    F("year") == 2020.0,
    F("year") == "2020",
    F("year") != 2020,
    F("year") == 0,
    F("year") == 1,
    F("year") == True,  # noqa: E712
    F("year") == 2**53,
    F("year") == 2**53 + 1,
    F("year") < 2020.25,
    F("year") <= 2019,
    F("year") > float(2**53),
    F("year") >= -(2**63),
    F("year").in_([2019, 2020.5, "2020", True]),
    F("year").in_([*range(2000, 2020), *(f"{year}" for year in range(2010, 2030)), 0.0, True]),
    F("year").in_([]),
    F("year").exists(),
    F("good") == True,  # noqa: E712
    F("good") != True,  # noqa: E712
    F("place") == "Bern",
    F("place") < "a",
    F("place") >= "🦊",
    F("place") == 'it\'s "quoted" \\ [x] {y} %_ \0 \n 🦊',
    F("place").startswith("Ber"),
    F("place").startswith(""),
    F("place").startswith('it\'s "quoted" \\ [x] {y} %'),
    F("place").startswith("_"),
    F("place").exists(),
    F("tags").contains("cat"),
    F("tags").contains(1),
    F("tags").contains(True),
    F("tags").exists(),
    F("nested").exists(),
    F("it's \"odd\\") == 1,
    F("nested", "place") == "Bern",
    F("nested", "place") != "Bern",
    F("nested", "place").exists(),
    F("nested", "place", "name").startswith("Be"),
    F("nested", "place", "zip").exists(),
    F("nested", "year") >= 2020.0,
    F("nested", "tags").contains("cat"),
    F("nested", "it's \"odd\\") == True,  # noqa: E712
    F("nested.place") == "Bern",
    F("nestedxplace").exists(),
    F("", "").in_(["Bern", "Berlin"]),
    ~F("nested", "absent").exists(),
    F("taken") > datetime(2026, 1, 31, 12, 30),
    F("taken") >= date(2026, 1, 31),
    F("taken") == datetime(2026, 1, 31, 12, 30, tzinfo=timezone(timedelta(hours=2))),
    F("absent") == 1,
    F("absent").exists(),
    ~(F("year") == 2020),
    ~F("tags").contains("cat"),
    ~F("year").in_([]),
    ~~F("place").startswith("Ber"),
    (F("year") >= 2019) & (F("year") < 2021) & F("tags").contains("cat"),
    (F("year") == 2019) | (F("place") == "") | (F("year") == "2020") | F("year").in_([-0.0]),
    (F("place") == "🦊") | (F("good") == False) | ~F("place").exists(),  # noqa: E712
    ~((F("year") > 0) & ~(F("place").startswith("B") | F("tags").exists())),
)
"""Filters over `ROWS`, each of which finds some, all or none."""


def key(number: int) -> str:
    """Return a key that sorts as `number` does."""
    return f"{number:032x}"


def random_vectors(spec: CollectionSpec, rows: int, seed: int = 0) -> Vectors:
    """Return vectors that a collection of `spec` takes; unit vectors unless they are bits."""
    generator = np.random.default_rng(seed)
    if spec.metric is Metric.HAMMING:
        return generator.integers(0, 256, (rows, spec.columns), np.uint8)
    vectors: NDArray[np.float64] = generator.standard_normal((rows, spec.columns))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def true_distances(metric: Metric, vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """Return the distance of each vector to `query`, as textbooks define it."""
    if metric is Metric.HAMMING:
        differing = np.bitwise_xor(vectors, query).astype(np.uint8)
        bits: NDArray[np.float64] = np.unpackbits(differing, axis=1).sum(axis=1, dtype=np.float64)
        return bits
    left, right = vectors.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        lengths: NDArray[np.float64] = np.linalg.norm(left - right, axis=1)
        return lengths
    products: NDArray[np.float64] = left @ right
    if metric is Metric.COSINE:
        products /= np.linalg.norm(left, axis=1) * np.linalg.norm(right)
    return np.subtract(1.0, products)
