"""Stored images are classified by those whose label is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from onnxsearch import (
    Classification,
    Classifier,
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LinearProbe,
    Metric,
    NearestNeighbours,
    SearchEngine,
    UnknownModelError,
)
from onnxsearch.testing import FakeEmbedder, picture
from tests.classification.clouds import KINDS, CloudEmbedder, cloud_engine


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    return cloud_engine(CloudEmbedder())


CLASSIFIERS = [None, NearestNeighbours(3), NearestNeighbours(10**6), LinearProbe()]


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=repr)
def test_images_without_a_label_get_that_of_their_kind(
    engine: SearchEngine, classifier: Classifier | None
) -> None:
    found = engine.classify_by_examples("kind", classifier=classifier)
    unknown = {each.id: each.label for each in found if each.known is None}
    assert unknown == {f"{kind}-new": kind for kind in KINDS}
    assert [each.id for each in found] == sorted(each.id for each in found)
    assert found.labels == KINDS
    assert all(1 / 3 <= each.probability <= 1 for each in found)
    assert found.calibration is not None
    assert found.calibration.accuracy.value == 1.0
    assert found.calibration.images == 24


@pytest.mark.parametrize("classifier", [NearestNeighbours(5), LinearProbe()], ids=repr)
def test_a_wrong_label_contradicts_what_others_teach(classifier: Classifier) -> None:
    engine = cloud_engine(CloudEmbedder())
    engine.update("ant-3", metadata={"kind": "bee"})
    found = engine.classify_by_examples("kind", classifier=classifier)
    worst = found.contradictions[0]
    assert (worst.id, worst.label, worst.known) == ("ant-3", "ant", "bee")
    assert found.calibration is not None
    assert found.calibration.accuracy.value < 1.0


def test_probabilities_of_noise_are_low() -> None:
    """Vectors that say nothing of the label are no evidence, however near the neighbours are."""
    engine = cloud_engine(CloudEmbedder(spread=1000.0))
    found = engine.classify_by_examples("kind", classifier=LinearProbe(10_000.0))
    assert found.calibration is not None
    assert found.calibration.uncalibrated_error > 0.2
    assert found.calibration.expected_error < found.calibration.uncalibrated_error
    assert np.mean([each.probability for each in found]) < 0.7
    assert found.calibration.temperature > 1


def test_an_image_that_is_alone_in_its_class_is_learnt_from_only(engine: SearchEngine) -> None:
    labels = {"ant-1": "ant", "ant-2": "ant", "bee-1": "bee"}
    found = engine.classify_by_examples(labels, classifier=NearestNeighbours(1))
    by_id = {each.id: each for each in found}
    assert "bee-1" not in by_id
    assert by_id["ant-1"].known == "ant"
    assert by_id["bee-new"].label == "bee"


def test_only_images_that_match_are_classified(engine: SearchEngine) -> None:
    found = engine.classify_by_examples("kind", filter=F("kind") == "bee")
    assert {each.known for each in found} == {"bee"}
    assert found.labels == KINDS


def test_labels_keep_their_type(engine: SearchEngine) -> None:
    numbers = {f"{kind}-{n}": place for place, kind in enumerate(KINDS) for n in range(8)}
    truths = {id: np.bool_(number) for id, number in numbers.items()}
    assert engine.classify_by_examples(numbers).labels == (0, 1, 2)
    assert engine.classify_by_examples(truths).labels == (False, True)
    floats = {id: float(number) for id, number in numbers.items()} | {"ant-0": 0, "bee-new": None}
    mixed = engine.classify_by_examples(cast("dict[str, object]", floats))
    assert len(mixed.labels) == 3
    assert {each.known for each in mixed if each.id == "bee-new"} == {None}


def test_the_same_seed_gives_the_same_result(engine: SearchEngine) -> None:
    one = engine.classify_by_examples("kind", seed=1)
    assert one == engine.classify_by_examples("kind", seed=1)


def test_a_model_of_bits_classifies_as_well() -> None:
    engine = cloud_engine(CloudEmbedder(metric=Metric.HAMMING))
    found = engine.classify_by_examples("kind")
    assert {e.id: e.label for e in found if not e.known} == {f"{k}-new": k for k in KINDS}


def test_it_is_a_table(engine: SearchEngine) -> None:
    found: Classification = engine.classify_by_examples("kind")
    first = found.to_dicts()[0]
    assert first.keys() == {"id", "uri", "label", "probability", "known"}
    assert len(found.to_pandas()) == len(found) == 27
    lines = repr(found).splitlines()
    assert lines[0] == "<Classification of 27 images by clouds>"
    assert lines[1].split() == ["9", "ant"]
    assert "expected calibration error" in lines[-1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "0 images have 0 different labels"),
        ({"ant-1": "ant", "ant-2": "ant"}, "2 images have 1 different labels"),
        ({"ant-1": "ant", "bee-1": "bee"}, "each of 2 classes has a single example"),
        ({"ant-1": ["a"], "bee-1": "bee"}, "expected a string, a number or a boolean"),
        ({"ant-1": {"a": 1}, "bee-1": "bee"}, "expected a string, a number or a boolean"),
        ({"ant-1": float("nan"), "bee-1": "bee"}, "None for an unknown one"),
        ({"nobody": "ant", "bee-1": "bee", "bee-2": "bee"}, "no image of id 'nobody' is stored"),
        ("no such field", "0 images have 0 different labels"),
        (lambda record: None, "0 images have 0 different labels"),
        (float("nan"), "expected a mapping by id"),
    ],
)
def test_labels_that_teach_nothing_are_refused(
    engine: SearchEngine, labels: object, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        engine.classify_by_examples(labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.classify_by_examples("kind", folds=1), "folds 1"),
        (lambda e: e.classify_by_examples("kind", seed=-1), "seed -1"),
        (lambda e: e.classify_by_examples("kind", classifier="knn"), "classifier 'knn'"),
        (lambda e: e.classify_by_examples("kind", filter="a"), "not a filter"),
        (lambda e: NearestNeighbours(0), "neighbours 0"),
        (lambda e: LinearProbe(0.0), "strength 0.0"),
        (lambda e: LinearProbe(float("inf")), "strength inf"),
    ],
)
def test_mistakes_are_named(
    engine: SearchEngine, call: Callable[[SearchEngine], object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call(engine)
    with pytest.raises(UnknownModelError):
        engine.classify_by_examples("kind", "nobody")


def test_an_image_without_a_vector_of_the_model_is_named() -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    engine = SearchEngine([FakeEmbedder("one")], *stores)
    for number in range(4):
        engine.add(picture(f"{number}"), id=f"{number}", metadata={"kind": number % 2})
    later = SearchEngine([FakeEmbedder("one"), FakeEmbedder("two")], *stores)
    with pytest.raises(InvalidArgumentError, match=r"engine.backfill\('two'\)"):
        later.classify_by_examples("kind", "two")
