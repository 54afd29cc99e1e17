"""How good models are, against scikit-learn's measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score, ndcg_score, precision_recall_curve

from onnxsearch import (
    AlphaQE,
    CollectionSpec,
    Evaluation,
    F,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    JSONValue,
    Match,
    Query,
    Rerank,
    SearchEngine,
    Tensor,
    UnknownModelError,
    Vectors,
)
from onnxsearch.testing import FakeEmbedder, picture
from tests.engine.pixels import Pixels, filled

LABELS = {f"{kind}{number}": kind for kind in ("ant", "bee", "cat") for number in range(5)}
LABELS["dog0"] = "dog"


def stores() -> tuple[InMemoryVectorStore, InMemoryMetadataStore]:
    return InMemoryVectorStore(), InMemoryMetadataStore()


STORES = stores()


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
    first, recall, precision, gain, curve = [], [], [], [], []
    for id, label in LABELS.items():
        if label != "dog":
            ids = fused(engine, id, model)
            right = np.array([LABELS[each] == label for each in ids])
            ranks = -np.arange(len(ids), dtype=float)
            first.append(float(right[0]))
            recall.append(right[:5].sum() / right.sum())
            precision.append(average_precision_score(right, ranks))
            gain.append(ndcg_score([right], [ranks]))
            # The last point of scikit-learn's curve belongs to no rank.
            p, r, _ = precision_recall_curve(right, ranks)
            levels = np.arange(11)[:, None] / 10
            curve.append(np.where(r[:-1] >= levels - 1e-9, p[:-1], 0).max(axis=1))
    scores = evaluation.scores[model]
    assert scores.precision[1].value == pytest.approx(np.mean(first), abs=1e-9)
    assert scores.recall[5].value == pytest.approx(np.mean(recall), abs=1e-9)
    assert scores.mean_average_precision.value == pytest.approx(np.mean(precision), abs=1e-9)
    assert scores.ndcg.value == pytest.approx(np.mean(gain), abs=1e-9)
    assert list(scores.precision_at_recall) == [tenths / 10 for tenths in range(11)]
    points = [estimate.value for estimate in scores.precision_at_recall.values()]
    assert points == pytest.approx(np.mean(curve, axis=0), abs=1e-9)


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


@pytest.mark.parametrize("model", ["one", "two", "one+two"])
def test_classes_of_the_images_found_first(engine: SearchEngine, model: str) -> None:
    confusion = engine.evaluate(LABELS).confusions[model]
    assert confusion.labels == ("ant", "bee", "cat", "dog")
    found: Counter[tuple[str, str]] = Counter()
    for id, label in LABELS.items():
        if label != "dog":
            found[label, LABELS[fused(engine, id, model)[0]]] += 1
    expected = sorted((*pair, count) for pair, count in found.items())
    assert [tuple(each.values()) for each in confusion.to_dicts()] == expected
    assert sorted(confusion.mistakes) == [each for each in expected if each[0] != each[1]]
    counts = [count for *_, count in confusion.mistakes]
    assert counts == sorted(counts, reverse=True)
    names, matrix = confusion.matrix()
    assert names == ["ant", "bee", "cat", "dog"]
    assert matrix.sum() == 15
    assert matrix[0, 1] == found["ant", "bee"]
    few, small = confusion.matrix(classes=2)
    assert (len(few), few[-1], small.shape, small.sum()) == (3, "other", (3, 3), 15)
    assert f"{sum(found[each, each] for each in names)} of 15" in repr(confusion)


def test_pairs_have_no_classes(engine: SearchEngine) -> None:
    assert engine.evaluate(pairs=[("ant0", "ant1")]).confusions == {}


def test_classes_are_ordered_as_people_order_them(engine: SearchEngine) -> None:
    labels = dict(zip(LABELS, [2, 2, 10, 10, 9, 9, "x", "x", "1a"], strict=False))
    assert engine.evaluate(labels).confusions["one"].labels == ("2", "9", "10", "1a", "x")


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
    from onnxsearch.evaluation.bootstrap import Bootstrap

    values = np.random.default_rng(0).normal(5, 2, (400, 1))
    (estimate,) = Bootstrap(resamples=2000).estimates(values)
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
    assert lines[0] == "<Evaluation of 15 queries among 16 images>"
    titles = ["model", "P@1", "P@5", "P@10", "R@1", "R@5", "R@10", "mAP", "nDCG"]
    assert lines[1].split() == titles
    assert [line.split()[0] for line in lines[2:]] == ["one", "two", "one+two"]
    assert "(" in str(evaluation.scores["one"].ndcg)


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (lambda engine: engine.evaluate(), "either labels or pairs"),
        (lambda engine: engine.evaluate(LABELS, pairs=[("ant0", "ant1")]), "not both"),
        (lambda engine: engine.evaluate({}), "no image has a label"),
        (lambda engine: engine.evaluate("no such field"), "no image has a label"),
        (lambda engine: engine.evaluate({"ant0": "a", "ant1": "b"}), "share one"),
        (lambda engine: engine.evaluate({"ant0": "a", "nobody": "a"}), "'nobody'"),
        (lambda engine: engine.evaluate(pairs=[]), "pairs are empty"),
        (lambda engine: engine.evaluate(pairs=[("ant0", "ant0")]), "twice"),
        (lambda engine: engine.evaluate(pairs=[("ant0", "nobody")]), "'nobody'"),
        (lambda engine: engine.evaluate(LABELS, k=[0]), "from 1 on"),
        (lambda engine: engine.evaluate(LABELS, k=[]), "from 1 on"),
        (lambda engine: engine.evaluate(LABELS, depth=0), "depth 0"),
        (lambda engine: engine.evaluate(LABELS, confidence=1), "confidence 1"),
        (lambda engine: engine.evaluate(LABELS, fusion="best"), "fusion 'best'"),
        (lambda engine: engine.evaluate(LABELS, models=["one"], fusion="rrf"), "single model"),
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
    # Of all 60 rows it finds 30, the image that is searched for among them.
    assert engine.recall(limit=1000, sample=5).value == pytest.approx(29 / 59)


def test_recall_leaves_out_the_image_that_is_searched_for() -> None:
    class Narcissus(InMemoryVectorStore):
        """Finds of every query nothing but itself."""

        def _search(
            self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
        ) -> list[list[Match]]:
            return [found[:1] for found in super()._search(spec, queries, limit, filter)]

    engine = SearchEngine([FakeEmbedder()], Narcissus(), InMemoryMetadataStore())
    engine.add(picture("0"), id="0")
    with pytest.raises(InvalidArgumentError, match="at least two"):
        engine.recall()
    for number in range(1, 20):
        engine.add(picture(f"{number}"), id=f"{number}")
    assert engine.recall(limit=5).value == 0
    assert engine.tune(0.5).recall.value == 0


class Palette(FakeEmbedder):
    """Images of one red are alike; what is green in them tells them apart a little."""

    def __init__(self) -> None:
        super().__init__("palette", 4)

    def prepare(self, image: Image.Image) -> Tensor:
        return np.asarray(image.convert("RGB"), np.float32)[0, 0]

    def run(self, batch: Tensor) -> NDArray[np.float32]:
        rows = np.zeros((len(batch), 4), np.float32)
        rows[np.arange(len(batch)), batch[:, 0].astype(int)] = 1
        rows[:, 3] = batch[:, 1] / 1e4
        return rows


def test_depth_counts_ranks_of_the_pool_without_the_query() -> None:
    """A perfect model scores 1 at the depth where its last right answer is."""
    engine = SearchEngine(Palette(), InMemoryVectorStore(), InMemoryMetadataStore())
    for red in range(3):
        for green in range(6):
            for blue, labelled in ((0, True), (1, False), (2, False)):
                engine.add(
                    Image.new("RGB", (2, 2), (red, green, blue)),
                    id=f"{red} {green} {blue}",
                    metadata={"label": red} if labelled else {},
                )
    scores = engine.evaluate("label", k=(1, 5), depth=5).scores["palette"]
    assert scores.recall[5].value == scores.precision[5].value == 1
    assert scores.mean_average_precision.value == scores.ndcg.value == 1
    four = engine.evaluate("label", k=(1, 5), depth=4).scores["palette"]
    assert four.recall[5].value == pytest.approx(4 / 5)


@pytest.mark.parametrize("fusion", ["rrf", "scores"])
def test_evaluate_judges_the_fusion_that_search_makes(
    fusion: Literal["rrf", "scores"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranks fused are so few here that the whole rankings would fuse to another order."""
    for module in ("fusion", "retriever"):
        monkeypatch.setattr(f"onnxsearch.search.{module}.FUSED_RANKS", 8)
    engine = SearchEngine([FakeEmbedder("one", 4), FakeEmbedder("two", 6)], *stores())
    labels = {f"{number}": number % 4 for number in range(60)}
    for id, label in labels.items():
        engine.add(picture(id), id=id, metadata={"id": id, "label": label})
    precision = []
    for id, label in labels.items():
        found = engine.search(
            Query.id(id),
            models=["one", "two"],
            fusion=fusion,
            limit=100,
            filter=F("id") != id,
        )
        right = np.array([labels[each] == label for each in found.ids])
        precision.append(average_precision_score(right, -np.arange(len(right), dtype=float)))
    for depth in (None, 59):
        scores = engine.evaluate("label", fusion=fusion, depth=depth).scores["one+two"]
        assert scores.mean_average_precision.value == pytest.approx(np.mean(precision), abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "right"),
    [
        ([True, True, 1, 1.0, "1", "1"], 6),
        ([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}, {"a": True, "b": 2}, None], 2),
        ([[1, 2], [1.0, 2], [2, 1], [True, 2]], 2),
    ],
)
def test_labels_are_the_same_where_filters_take_them_for_the_same(
    labels: list[JSONValue], right: int
) -> None:
    engine = SearchEngine(FakeEmbedder(), *stores())
    for number, label in enumerate(labels):
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"x": label})
    assert engine.evaluate("x", k=[1]).queries == right


def test_a_label_that_cannot_be_compared_is_refused(engine: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="not hashable"):
        engine.evaluate(lambda record: {record.id})


@pytest.mark.parametrize("depth", [None, 3])
def test_few_ranks_are_in_memory_at_once(
    engine: SearchEngine, monkeypatch: pytest.MonkeyPatch, depth: int | None
) -> None:
    """However few rankings are read at once, the scores are the same."""
    whole = engine.evaluate("label", depth=depth)
    monkeypatch.setattr("onnxsearch.evaluation.pool_rankings._RANKS", 80)
    asked: list[tuple[int, int]] = []
    search = InMemoryVectorStore._search

    def counting(
        self: InMemoryVectorStore,
        spec: CollectionSpec,
        queries: Vectors,
        limit: int,
        filter: Filter | None,
    ) -> list[list[Match]]:
        asked.append((len(queries), limit))
        return search(self, spec, queries, limit, filter)

    monkeypatch.setattr(InMemoryVectorStore, "_search", counting)
    assert engine.evaluate("label", depth=depth) == whole
    assert all(queries == 1 or 2 * queries * limit <= 80 for queries, limit in asked)


@pytest.mark.parametrize("depth", [None, 8])
@pytest.mark.parametrize(
    "refinement",
    [
        {"expand": AlphaQE(3, 1.0)},
        {"rerank": Rerank.by_model("two", first=6)},
        {"rerank": lambda query, hits: [-hit.metadata["tens"] for hit in hits]},
        {"expand": AlphaQE(3, 1.0), "rerank": Rerank.by_model("two", first=20)},
    ],
)
def test_refined_rankings_are_those_of_searches(
    refinement: dict[str, Any], depth: int | None
) -> None:
    with filled(count=24) as engine:
        labels = {record.id: str(record.metadata["tens"]) for record in engine.records()}
        evaluation = engine.evaluate(labels, k=[1, 4], depth=depth, **refinement)
        for name in ("one", "two", "one+two"):
            shares = []
            for id in labels:
                models = {"models": name.split("+")} if "+" in name else {"model": name}
                hits = engine.search(Query.id(id), exclude=id, limit=4, **models, **refinement)
                shares.append([labels[hit.id] == labels[id] for hit in hits])
            precision = evaluation.scores[name].precision
            assert precision[1].value == pytest.approx(np.mean(shares, axis=0)[0])
            assert precision[4].value == pytest.approx(np.mean(shares))


def test_an_evaluation_reranks_with_stored_vectors() -> None:
    vectors, records = stores()
    filled((vectors, records))
    with SearchEngine([Pixels("one"), Pixels("late")], vectors, records) as engine:
        with pytest.raises(InvalidArgumentError, match=r"no vector of model 'late'.*backfill"):
            engine.evaluate("half", models=["one"], rerank=Rerank.by_model("late"))
        with pytest.raises(UnknownModelError, match="three"):
            engine.evaluate("half", models=["one"], rerank=Rerank.by_model("three"))
        with pytest.raises(InvalidArgumentError, match="expand"):
            engine.evaluate("half", models=["one"], expand="more")  # type: ignore[arg-type]
