"""Models that decode at a reduced size, alone and beside others, in new indexes and old ones."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    PreprocessingProfile,
    SearchEngine,
    SpaceMismatchError,
)
from onnxsearch.embedders.bundled import DEFAULT_MODEL
from tests.embedders.models import colour_model

EXACT = PreprocessingProfile("exact", (16, 16), fit="shortest", resize_to=20)
PROFILES = {
    "exact": EXACT,
    "coarse": replace(EXACT, resampler="reducing"),
    "fine": replace(EXACT, resize_to=120, resampler="reducing"),
}


def model(name: str) -> OnnxEmbedder:
    return OnnxEmbedder(colour_model(), name=name, profile=PROFILES[name])


def engine(*names: str) -> SearchEngine:
    models = [model(name) for name in names]
    return SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore(), workers=1)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    Image.fromarray(pixels).resize((1000, 750)).save(path, quality=92)
    return path


def test_a_vector_does_not_depend_on_the_other_models(photo: Path) -> None:
    alone = {}
    for name in PROFILES:
        with engine(name) as one:
            one.index([photo])
            (alone[name],) = one.vectors([str(photo)])
    assert len({vector.tobytes() for vector in alone.values()}) == 3
    for order in (("exact", "coarse", "fine"), ("coarse", "fine", "exact")):
        with engine(*order) as together:
            together.index([photo])
            together.add(photo.read_bytes(), id="added")
            for name, expected in alone.items():
                for vector in together.vectors([str(photo), "added"], model=name):
                    np.testing.assert_array_equal(vector, expected)


def test_a_query_is_opened_as_the_stored_images_were(photo: Path) -> None:
    names = list(PROFILES)
    with engine(*names) as together:
        together.index([photo])
        for query in (photo, photo.read_bytes()):
            for name in names:
                (hit,) = together.search(query, model=name)
                assert hit.distance == pytest.approx(0, abs=1e-6)
                ((hit,),) = together.search_many([query], model=name)
                assert hit.distance == pytest.approx(0, abs=1e-6)
        for hits in (
            together.search(photo, models=names),
            together.search(io.BytesIO(photo.read_bytes()), models=names),
        ):
            assert len(hits) == 1


def test_an_embedder_alone_gives_the_vectors_of_an_engine(photo: Path) -> None:
    for name in PROFILES:
        with engine(name) as one:
            one.index([photo])
            (stored,) = one.vectors([str(photo)])
        np.testing.assert_array_equal(model(name).embed(photo)[0], stored)


def test_the_bundled_models_reduce_unless_told_otherwise() -> None:
    name = "efficientnet-lite0"
    reducing, exact = OnnxEmbedder.bundled(name), OnnxEmbedder.bundled(name, profile=name)
    assert reducing.profile == replace(exact.profile, resampler="reducing")
    assert reducing.fingerprint != exact.fingerprint
    revisions = [each.source.revision for each in (reducing, exact) if each.source]
    assert revisions == ["2", None]


def test_an_index_of_the_exact_profile_opens_as_it_was_and_says_how(
    tmp_path: Path, photo: Path
) -> None:
    place = tmp_path / "album"
    with SearchEngine.open(place, embedders=OnnxEmbedder.bundled(profile=DEFAULT_MODEL)) as old:
        old.index([photo])
        (stored,) = old.vectors([str(photo)])
    with pytest.raises(SpaceMismatchError) as error:
        SearchEngine.open(place, embedders=OnnxEmbedder.bundled())
    assert "'efficientnet-lite2-reducing' instead of 'efficientnet-lite2'" in str(error.value)
    assert "without embedders=" in str(error.value)
    with SearchEngine.open(place) as again:
        again.add(photo.read_bytes(), id="same")
        np.testing.assert_array_equal(again.vectors(["same"])[0], stored)
        again.remove("same")
        again.migrate("efficientnet-lite2", OnnxEmbedder.bundled(embedder_name="lite2"))
    with SearchEngine.open(place) as changed:
        assert changed.models == ["lite2"]
        (vector,) = changed.vectors([str(photo)])
        assert 0.95 < vector @ stored < 1
