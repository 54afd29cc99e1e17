"""Stored images are classified by words, without an example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metric,
    OnnxEmbedder,
    OnnxTextEmbedder,
    SearchEngine,
)
from onnxsearch.testing import FakeEmbedder
from tests.classification.clouds import KINDS, CloudEmbedder, cloud_engine


@pytest.fixture(scope="module")
def engine() -> SearchEngine:
    return cloud_engine(CloudEmbedder())


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.IP, Metric.L2, Metric.HAMMING])
def test_every_image_gets_the_word_for_it(metric: Metric) -> None:
    found = cloud_engine(CloudEmbedder(metric=metric)).classify(KINDS)
    assert {each.id: each.label for each in found} == {
        f"{kind}-{name}": kind for kind in KINDS for name in (*range(8), "new")
    }
    assert found.labels == KINDS
    assert found.calibration is None
    assert all(each.known is None for each in found)
    assert "not calibrated" in repr(found)


def test_texts_of_ones_own_stand_for_labels(engine: SearchEngine) -> None:
    texts = {
        "insect": ["a photo of a ant", "the ant"],
        "bee": ("the bee",),
        "pet": "the cat",
        "noise": "static",
    }
    found = engine.classify(texts)
    expected = {"ant": "insect", "bee": "bee", "cat": "pet"}
    assert all(each.label == expected[each.id.split("-")[0]] for each in found)
    as_words = engine.classify(KINDS, prompt="a photo of a {}")
    assert as_words == engine.classify({kind: f"a photo of a {kind}" for kind in KINDS})


def test_known_labels_calibrate_the_probabilities(engine: SearchEngine) -> None:
    found = engine.classify(KINDS, known="kind")
    assert found.calibration is not None
    assert found.calibration.images == 24
    assert found.calibration.accuracy.value == 1.0
    known = {each.id: each.known for each in found}
    assert known["ant-1"] == "ant"
    assert known["ant-new"] is None


def test_words_that_mean_nothing_are_not_believed(engine: SearchEngine) -> None:
    nonsense = {kind: f"nonsense {number}" for number, kind in enumerate(KINDS)}
    calibration = engine.classify(nonsense, known="kind").calibration
    assert calibration is not None
    assert calibration.expected_error < calibration.uncalibrated_error - 0.1
    assert calibration.temperature > 0.05


def test_only_images_that_match_are_classified(engine: SearchEngine) -> None:
    found = engine.classify(KINDS, filter=F("kind") == "bee")
    assert {each.label for each in found} == {"bee"}
    assert len(found) == 8


def test_a_label_is_no_format_string(engine: SearchEngine) -> None:
    labels = ["{0.__class__}", "%s {} {}", "a\x00b", "é" * 50]
    assert engine.classify(labels).labels == tuple(labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.classify([]), r"labels \[\]: expected at least two"),
        (lambda e: e.classify(["cat"]), "expected at least two"),
        (lambda e: e.classify({}), "expected at least two"),
        (lambda e: e.classify(["cat", "dog", "cat"]), "labels hold 'cat' 2 times"),
        (lambda e: e.classify(["cat", " "]), "labels hold ' ', which has no word"),
        (lambda e: e.classify(["cat", None]), "labels None: expected a list of words"),
        (lambda e: e.classify("cat"), "labels 'cat': expected a list of words"),
        (lambda e: e.classify({"cat": "cat", "dog": []}), r"labels\['dog'\] has no text"),
        (lambda e: e.classify({"cat": "cat", "dog": 3}), r"labels\['dog'\] 3: expected texts"),
        (lambda e: e.classify({"cat": "cat", "dog": ""}), r"labels\[\"?'dog'\"?\] is empty"),
        (lambda e: e.classify(KINDS, prompt="a photo"), "prompt 'a photo': expected a text"),
        (lambda e: e.classify(KINDS, prompt="{} or {}"), "with {} once"),
        (lambda e: e.classify(KINDS[:2], known="kind"), "known: 'cat' is not among the labels"),
        (lambda e: e.classify(KINDS, known={}), "expected examples of at least two classes"),
        (lambda e: e.classify(KINDS, known={"x": "ant", "ant-1": "bee"}), "no image of id 'x'"),
    ],
)
def test_mistakes_are_named(
    engine: SearchEngine, call: Callable[[SearchEngine], object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call(engine)


def test_a_model_without_a_text_tower_is_named() -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    with pytest.raises(InvalidArgumentError, match="model 'fake' embeds images only"):
        engine.classify(KINDS)


def test_an_empty_album_has_no_predictions() -> None:
    engine = SearchEngine(CloudEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    assert list(engine.classify(KINDS)) == []


@pytest.mark.integration
def test_photographs_are_classified_by_words(shared: Callable[[str], Path]) -> None:
    text = OnnxTextEmbedder(
        shared("models/minilm-l6-v2-int8-text.onnx"),
        shared("models/minilm-vocab.txt"),
        profile="minilm",
        pooling="mean",
    )
    model = OnnxEmbedder(
        shared("models/efficientnet-lite0.int8.conse384.onnx"),
        profile="efficientnet-lite",
        output="text_aligned",
        text=text,
    )
    words = {"banana": "06_Banana", "lemon": "08_Lemon", "pineapple": "23_Pineapple"}
    folders = {folder: word for word, folder in words.items()}
    with SearchEngine(model, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        for folder in shared("data/grocery").iterdir():
            for photo in sorted(folder.glob("*.jpg"))[:8] if folder.name in folders else []:
                engine.add(photo, metadata={"kind": folders[folder.name]})
        found = engine.classify(list(words), known="kind")
    assert len(found) == 24
    assert np.mean([each.label == each.known for each in found]) > 0.8
    assert found.calibration is not None
    assert found.calibration.expected_error < 0.2
