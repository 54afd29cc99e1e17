"""How good models are, against scikit-learn's measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from onnxsearch import (
    CollectionSpec,
    Evaluation,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Match,
    Query,
    SearchEngine,
    UnknownModelError,
    Vectors,
)
from onnxsearch.testing import FakeEmbedder, picture

LABELS = {f"{kind}{number}": kind for kind in ("ant", "bee", "cat") for number in range(5)}
LABELS["dog0"] = "dog"


STORES = InMemoryVectorStore(), InMemoryMetadataStore()


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    engine = SearchEngine([FakeEmbedder("one", 4), FakeEmbedder("two", 6)], *STORES)
    for id, label in LABELS.items():
        engine.add(picture(id), id=id, metadata={"label": label, "tags": [label]})
    engine.add(picture("unlabelled"), id="unlabelled")
    return engine


def ranked(engine: SearchEngine, query: str, model: str) -> list[str]:
    ids = engine.search(Query.id(query), limit=100, model=model).ids
    return [id for id in ids if id != query and id in LABELS]


def fused(engine: SearchEngine, query: str, model: str) -> list[str]:
    lists = [ranked(engine, query, name) for name in model.split("+")]
    score = {id: sum(1 / (60 + ids.index(id) + 1) for ids in lists) for id in lists[0]}
    return sorted(lists[0], key=lambda id: -score[id])


@pytest.mark.parametrize("model", ["one", "two", "one+two"])
def test_measures_are_scikit_learns(engine: SearchEngine, model: str) -> None:
    evaluation = engine.evaluate(LABELS)
    assert list(evaluation.scores) == ["one", "two", "one+two"]
    assert (evaluation.queries, evaluation.pictures) == (15, 16)
    first, recall, precision, gain = [], [], [], []
    for id, label in LABELS.items():
        if label != "dog":
            ids = fused(engine, id, model)
            right = np.array([LABELS[each] == label for each in ids])
            ranks = -np.arange(len(ids), dtype=float)
            first.append(float(right[0]))
            recall.append(right[:5].sum() / right.sum())
            precision.append(average_precision_score(right, ranks))
            gain.append(ndcg_score([right], [ranks]))
    scores = evaluation.scores[model]
    assert scores.precision[1].value == pytest.approx(np.mean(first), abs=1e-9)
    assert scores.recall[5].value == pytest.approx(np.mean(recall), abs=1e-9)
    assert scores.mean_average_precision.value == pytest.approx(np.mean(precision), abs=1e-9)
    assert scores.ndcg.value == pytest.approx(np.mean(gain), abs=1e-9)


@pytest.mark.parametrize(
    "labels",
    ["label", "tags", lambda record: LABELS.get(record.id)],
    ids=["field", "list field", "function"],
)
def test_labels_come_in_several_forms(engine: SearchEngine, labels: object) -> None:
    expected = engine.evaluate(LABELS)
    assert engine.evaluate(labels) == expected  # type: ignore[arg-type]


def test_pairs_are_found_in_the_whole_album(engine: SearchEngine) -> None:
    evaluation = engine.evaluate(pairs=[("ant0", "ant1"), ("ant0", "bee0")], models=["one"])
    assert (evaluation.queries, evaluation.pictures) == (3, len(LABELS) + 1)
    everything = engine.search(Query.id("ant1"), model="one", limit=100).ids
    rank = [id for id in everything if id != "ant1"].index("ant0") + 1
    alone = engine.evaluate(pairs=[("ant1", "ant0")], models=["one"], k=[rank, rank - 1 or 1])
    assert alone.scores["one"].recall[rank].value >= 0.5


def test_intervals_hold_the_value_and_depend_on_the_seed_only(engine: SearchEngine) -> None:
    one, again = engine.evaluate(LABELS, seed=1), engine.evaluate(LABELS, seed=1)
    assert one == again
    assert one != engine.evaluate(LABELS, seed=2)
    for scores in one.scores.values():
        estimate = scores.mean_average_precision
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    wide = engine.evaluate(LABELS, seed=1, confidence=0.999).scores["one"].ndcg
    narrow = one.scores["one"].ndcg
    assert wide.high - wide.low > narrow.high - narrow.low


def test_a_bootstrap_interval_is_that_of_the_normal_law() -> None:
    from onnxsearch.evaluation.bootstrap import estimates

    values = np.random.default_rng(0).normal(5, 2, (400, 1))
    (estimate,) = estimates(values, confidence=0.95, resamples=2000, seed=0)
    half = 1.96 * values.std() / 20
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.03)


def test_depth_cuts_the_rankings(engine: SearchEngine) -> None:
    shallow = engine.evaluate(LABELS, depth=3).scores["one"]
    whole = engine.evaluate(LABELS).scores["one"]
    assert shallow.precision[1] == whole.precision[1]
    assert shallow.mean_average_precision.value < whole.mean_average_precision.value


def test_it_prints_a_table(engine: SearchEngine) -> None:
    evaluation: Evaluation = engine.evaluate(LABELS)
    lines = repr(evaluation).splitlines()
    assert lines[0] == "<Evaluation of 15 queries among 16 pictures>"
    titles = ["model", "P@1", "P@5", "P@10", "R@1", "R@5", "R@10", "mAP", "nDCG"]
    assert lines[1].split() == titles
    assert [line.split()[0] for line in lines[2:]] == ["one", "two", "one+two"]
    assert "(" in str(evaluation.scores["one"].ndcg)


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (lambda engine: engine.evaluate(), "either labels or pairs"),
        (lambda engine: engine.evaluate(LABELS, pairs=[("ant0", "ant1")]), "not both"),
        (lambda engine: engine.evaluate({}), "no picture has a label"),
        (lambda engine: engine.evaluate("no such field"), "no picture has a label"),
        (lambda engine: engine.evaluate({"ant0": "a", "ant1": "b"}), "share one"),
        (lambda engine: engine.evaluate({"ant0": "a", "nobody": "a"}), "'nobody'"),
        (lambda engine: engine.evaluate(pairs=[]), "pairs are empty"),
        (lambda engine: engine.evaluate(pairs=[("ant0", "ant0")]), "twice"),
        (lambda engine: engine.evaluate(pairs=[("ant0", "nobody")]), "'nobody'"),
        (lambda engine: engine.evaluate(LABELS, k=[0]), "from 1 on"),
        (lambda engine: engine.evaluate(LABELS, k=[]), "from 1 on"),
        (lambda engine: engine.evaluate(LABELS, depth=0), "depth 0"),
        (lambda engine: engine.evaluate(LABELS, confidence=1), "confidence 1"),
        (lambda engine: engine.recall(limit=0), "limit 0"),
        (lambda engine: engine.recall(sample=0), "sample 0"),
    ],
)
def test_bad_input_is_told(
    engine: SearchEngine, evaluate: Callable[[SearchEngine], object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        evaluate(engine)


def test_unknown_models_and_missing_vectors_are_told(engine: SearchEngine) -> None:
    with pytest.raises(UnknownModelError):
        engine.evaluate(LABELS, models=["three"])
    late = SearchEngine([FakeEmbedder("one", 4), FakeEmbedder("late")], *STORES)
    with pytest.raises(InvalidArgumentError, match="backfill"):
        late.evaluate(LABELS)


class Forgetful(InMemoryVectorStore):
    """Overlooks every second row, as a careless index would."""

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        return [found[::2] for found in super()._search(spec, queries, 2 * limit, filter)]


def test_recall_tells_what_an_index_overlooks() -> None:
    for store, expected in [(InMemoryVectorStore(), 1.0), (Forgetful(), 0.5)]:
        engine = SearchEngine([FakeEmbedder()], store, InMemoryMetadataStore())
        with pytest.raises(InvalidArgumentError, match="nothing is stored"):
            engine.recall()
        for number in range(60):
            engine.add(picture(f"{number}"), id=f"{number}")
        estimate = engine.recall(limit=10, sample=40)
        assert estimate.value == pytest.approx(expected, abs=1e-9)
        assert estimate.low == estimate.high == estimate.value
    assert engine.recall(limit=1000, sample=5).value == pytest.approx(0.5)
