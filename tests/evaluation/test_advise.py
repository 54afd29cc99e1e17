"""Settings of a search are chosen on some queries, and measured on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from onnxsearch import (
    Advice,
    AlphaQE,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Rerank,
    SearchEngine,
    Setting,
    UnknownModelError,
)
from onnxsearch.testing import FakeEmbedder
from tests.classification.clouds import KINDS, CloudEmbedder, image_of


class Named(CloudEmbedder):
    """A cloud embedder with a name of its own."""

    def __init__(self, name: str, spread: float) -> None:
        super().__init__(spread=spread)
        self._name = name

    @property
    def name(self) -> str:
        return self._name


def album(*models: CloudEmbedder | FakeEmbedder) -> SearchEngine:
    engine = SearchEngine(list(models), InMemoryVectorStore(), InMemoryMetadataStore())
    for kind in KINDS:
        for number in range(12):
            engine.add(image_of(kind, number), id=f"{kind}-{number}", metadata={"kind": kind})
    return engine


@pytest.fixture(scope="module")
def advice() -> Advice:
    engine = album(Named("poor", 3.0), Named("good", 0.8))
    engine.augment("good")
    return engine.advise("kind")


def test_a_better_model_is_proposed_as_a_call(advice: Advice) -> None:
    assert advice.proposed == advice.chosen
    assert "good" in advice.proposed.models or advice.proposed.rerank == "good"
    assert advice.call == advice.proposed.call
    assert (advice.chosen_by, advice.measured_on) == (18, 18)
    best = next(each for each in advice.tried if each.setting == advice.chosen)
    assert best.difference.better == str(advice.chosen)
    assert best.precision_at_1 >= advice.tried[0].precision_at_1


def test_everything_that_the_engine_has_is_tried(advice: Advice) -> None:
    settings = [each.setting for each in advice.tried]
    assert settings[0] == Setting(("poor",))
    assert settings[1:5] == [
        Setting(("good",)),
        Setting(("poor", "good"), fusion="rrf"),
        Setting(("poor", "good"), fusion="scores"),
        Setting(("good",), augmented=True),
    ]
    assert AlphaQE() in {each.expand for each in settings}
    assert advice.untried == {"augmentation of poor": "engine.augment('poor')"}


def test_the_figures_are_those_of_evaluate() -> None:
    """Both halves together are all queries, and each setting is what `search` does."""
    engine = album(Named("poor", 3.0), Named("good", 0.8))
    advice = engine.advise("kind", seed=3)
    other = engine.evaluate("kind", models=["good"]).by_query("good")
    plain = engine.evaluate("kind", models=["poor"]).by_query("poor")
    tried = next(each for each in advice.tried if each.setting == Setting(("good",)))
    differences = [other[id] - plain[id] for id in other]
    it = tried.difference.difference
    assert it.value == pytest.approx(np.mean(differences), abs=0.15)
    assert min(other.values()) <= tried.value <= max(other.values())


def test_nothing_is_proposed_that_may_be_chance() -> None:
    engine = album(FakeEmbedder("noise"))
    advice = engine.advise("kind", confidence=0.999)
    assert advice.proposed == Setting(("noise",))
    assert advice.call == "engine.search(query, model='noise')"
    assert str(advice).endswith(f"Nothing pays; stay with: {advice.call}")
    assert advice.untried == {
        "fusion and reranking": "open the engine with a second model",
        "augmentation of noise": "engine.augment('noise')",
    }


def test_calls_can_be_pasted() -> None:
    setting = Setting(("a", "b"), True, "scores", AlphaQE(), "c")
    assert setting.call == (
        "engine.search(query, models=['a', 'b'], fusion='scores', augmented=True, "
        f"expand={AlphaQE()!r}, rerank=Rerank.by_model('c'))"
    )
    engine = album(Named("poor", 3.0), Named("good", 0.8))
    names = {"engine": engine, "AlphaQE": AlphaQE, "Rerank": Rerank, "query": image_of("ant", 99)}
    for tried in engine.advise("kind").tried:
        assert eval(tried.setting.call, names)


def test_it_is_a_table(advice: Advice) -> None:
    lines = str(advice).splitlines()
    assert lines[0] == "mean_average_precision on 18 queries; 18 others chose"
    assert sum(line.startswith("*") for line in lines) == 1
    assert repr(advice) == str(advice)
    assert "not tried: augmentation of poor (engine.augment('poor'))" in lines
    rows = advice.to_dicts()
    assert [row["chosen"] for row in rows].count(True) == 1
    assert len(advice.to_pandas()) == len(advice.tried)
    assert "<pre>" in advice._repr_html_()


def test_the_same_seed_gives_the_same_advice() -> None:
    engine = album(Named("poor", 3.0), Named("good", 0.8))
    assert engine.advise("kind", seed=1, queries=10) == engine.advise("kind", seed=1, queries=10)
    assert engine.advise("kind", queries=10).measured_on == 5


def test_another_measure_may_choose() -> None:
    engine = album(Named("poor", 3.0), Named("good", 0.8))
    advice = engine.advise("kind", metric="recall@5", confidence=0.8)
    assert advice.metric == "recall@5"
    assert advice.tried[1].difference.confidence == 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.advise("kind", metric="speed"), "metric 'speed': expected one of"),
        (lambda e: e.advise("kind", queries=3), "queries 3"),
        (lambda e: e.advise("kind", confidence=0.0), "confidence 0.0"),
        (lambda e: e.advise("kind", seed=-1), "seed -1"),
        (lambda e: e.advise({}), "no image has a label"),
        (lambda e: e.advise({"ant-1": 1, "ant-2": 1}), "2 images have another one of their label"),
        (lambda e: e.advise({"ant-1": 1, "ant-2": 2}), "at least two images that share one"),
        (lambda e: e.advise({"x": 1, "ant-2": 1}), "no image of id 'x'"),
    ],
)
def test_mistakes_are_named(call: Callable[[SearchEngine], object], message: str) -> None:
    engine = album(FakeEmbedder("noise"))
    with pytest.raises(InvalidArgumentError, match=message):
        call(engine)
    with pytest.raises(UnknownModelError):
        engine.advise("kind", "nobody")
