"""scikit-learn: the transformer in pipelines, searches and pickles, and scikit-learn's checks."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import SkipTestWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import estimator_checks

from onnxsearch import (
    Embedder,
    ImageError,
    InvalidArgumentError,
    Metric,
    ModelNotFoundError,
    OnnxEmbedder,
    UnknownModelError,
)
from onnxsearch.integrations.sklearn import ImageEmbedder
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.embedders.models import colour_model

NAMES = ("cat", "dog", "fox")

# check_estimator leaves out all checks of an estimator that takes no tables of numbers. These need
# no table.
CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_mixin_order,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path, NAMES)


def test_scikit_learn_knows_that_images_are_no_numbers() -> None:
    with pytest.warns(SkipTestWarning, match="string=True"):
        estimator_checks.check_estimator(ImageEmbedder())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_that_need_no_numbers(check: Any) -> None:
    check("ImageEmbedder", ImageEmbedder())


def test_images_in_every_form(paths: list[Path]) -> None:
    fake = FakeEmbedder()
    expected = fake.embed(paths)
    texts = [str(path) for path in paths]
    column = np.array(texts, dtype=object)
    arrays = np.stack([np.asarray(picture(name)) for name in NAMES])
    for images in (
        paths,
        tuple(texts),
        np.array(texts),
        column,
        column[:, np.newaxis],
        arrays,
        [picture(name) for name in NAMES],
        [path.read_bytes() for path in paths],
    ):
        vectors = ImageEmbedder(fake).transform(images)
        np.testing.assert_array_equal(vectors, expected)
        assert vectors.dtype == np.float32
    assert ImageEmbedder(fake).fit_transform(paths).shape == (3, 16)
    assert ImageEmbedder(fake).transform([]).shape == (0, 16)


def test_data_frames(paths: list[Path]) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": map(str, paths), "price": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    embedder = ImageEmbedder(FakeEmbedder(dimension=4)).set_output(transform="pandas")
    for images in (table["path"], table[["path"]]):
        vectors = embedder.fit_transform(images)
        assert list(vectors.index) == [7, 8, 9]
        assert list(vectors.columns) == [f"imageembedder{n}" for n in range(4)]
    columns = ColumnTransformer(
        [
            ("image", ImageEmbedder(FakeEmbedder(dimension=4)), "path"),
            ("rest", "passthrough", ["price"]),
        ]
    )
    assert columns.fit_transform(table).shape == (3, 5)
    assert columns.get_feature_names_out()[-1] == "rest__price"


def test_a_pipeline_with_a_model_by_name(album: Path) -> None:
    photos = sorted(album.rglob("*.jpg"))[:3]
    labels = [0, 1, 0]
    pipeline = make_pipeline(ImageEmbedder("efficientnet-lite0"), KNeighborsClassifier(1))
    assert list(pipeline.fit(photos, labels).predict(photos)) == labels
    assert pickle.loads(pickle.dumps(pipeline)).predict(photos[:1]) == labels[:1]


def test_a_grid_search_loads_an_embedder_once(paths: list[Path]) -> None:
    fake = FakeEmbedder()
    pipeline = Pipeline([("vectors", ImageEmbedder(fake)), ("knn", KNeighborsClassifier())])
    grid = {"knn__n_neighbors": [1, 2], "vectors__batch_size": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(paths * 2, [0, 1, 0, 0, 1, 0])
    assert search.best_estimator_.named_steps["vectors"].model is fake


def test_clones_share_an_embedder_and_keep_the_output() -> None:
    fake = FakeEmbedder()
    first = ImageEmbedder(fake, batch_size=3).set_output(transform="pandas")
    twin = clone(first)
    assert twin.model is fake
    assert twin.batch_size == 3
    assert twin.transform([picture("cat")]).shape == (1, 16)
    assert hasattr(twin.transform([picture("cat")]), "columns")
    twin.set_output(transform="default")
    assert hasattr(first.transform([picture("cat")]), "columns")


def test_the_model_may_change(paths: list[Path]) -> None:
    embedder = ImageEmbedder(FakeEmbedder(dimension=4)).fit(paths)
    embedder.set_params(model=FakeEmbedder(dimension=8))
    assert embedder.transform(paths).shape == (3, 8)
    assert len(embedder.get_feature_names_out()) == 8


def test_a_pickle_holds_what_a_model_is_and_not_the_model(tmp_path: Path) -> None:
    file = tmp_path / "colours.onnx"
    file.write_bytes(colour_model())
    # The file says nothing of its preprocessing: the description does.
    embedder = ImageEmbedder(OnnxEmbedder(file, profile="keras-tf"))
    expected = embedder.transform([picture("cat")])
    data = pickle.dumps(embedder)
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform([picture("cat")]), expected)
    np.testing.assert_array_equal(copy.deepcopy(embedder).transform([picture("cat")]), expected)
    assert again.model.fingerprint == embedder.model.fingerprint
    file.write_bytes(colour_model(output="place"))
    with pytest.raises(ModelNotFoundError, match="colours"):
        pickle.loads(data)


class FewBits(Embedder):
    name, dimension, fingerprint, metric = "bits", 16, "bits-1", Metric.HAMMING

    def prepare(self, image: Any) -> Any:
        return np.asarray(image)[0, 0, :2]

    def run(self, batch: Any) -> Any:
        return batch


def test_bits_become_numbers() -> None:
    image = picture("cat")
    vectors = ImageEmbedder(FewBits()).transform([image])
    expected = np.unpackbits(np.asarray(image)[0, 0, :2])
    np.testing.assert_array_equal(vectors, [expected.astype(np.float32)])


@pytest.mark.parametrize(
    "wrong",
    [
        "cat.png",
        b"cat",
        3,
        None,
        iter([]),
        {"cat.png"},
        picture("cat"),
        np.zeros((2, 3)),
        np.zeros((2, 4, 4, 3)),
        np.zeros(3),
    ],
)
def test_what_is_no_sequence_of_images_is_refused(wrong: Any) -> None:
    for method in (ImageEmbedder(FakeEmbedder()).fit, ImageEmbedder(FakeEmbedder()).transform):
        with pytest.raises(InvalidArgumentError, match="X"):
            method(wrong)


def test_wrong_parameters_are_refused_by_fit() -> None:
    wrong: Any = 3
    with pytest.raises(InvalidArgumentError, match="model"):
        ImageEmbedder(wrong).fit([])
    with pytest.raises(UnknownModelError, match="resnet1"):
        ImageEmbedder("resnet1").fit([])
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        ImageEmbedder(FakeEmbedder(), batch_size=0).fit([])
    with pytest.raises(ImageError):
        ImageEmbedder(FakeEmbedder()).transform(["no such file.png"])
