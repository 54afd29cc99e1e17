"""The main job with a real model on real photos, through every pair of stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    MilvusVectorStore,
    OnnxEmbedder,
    RedisMetadataStore,
    SearchEngine,
    Status,
)
from tests.servers import RedisServer

Shared = Callable[[str], Path]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")).start() as server:
        yield server


@pytest.fixture(scope="module")
def default_model() -> OnnxEmbedder:
    return OnnxEmbedder.bundled()


@pytest.mark.integration
def test_the_stores_agree(
    album: Path, tmp_path: Path, redis_server: RedisServer, default_model: OnnxEmbedder
) -> None:
    photos = sorted(album.rglob("*.jpg"))
    assert len(photos) >= 20
    found = []
    for engine in (
        SearchEngine.open(tmp_path / "album", embedders=default_model),
        SearchEngine.open(tmp_path / "album.db", embedders=default_model, records=redis_server.url),
        SearchEngine(default_model, InMemoryVectorStore(), InMemoryMetadataStore()),
    ):
        with engine:
            report = engine.index(album)
            assert report.counts[Status.INDEXED] == engine.count() >= len(photos)
            found.append(list(engine.search_many(photos, limit=10)))
    reference, *others = found
    for photo, results in zip(photos, reference, strict=True):
        assert (results[0].uri, results[0].distance) == (str(photo), pytest.approx(0, abs=1e-3))
    for other in others:
        for expected, results in zip(reference, other, strict=True):
            assert results.ids == expected.ids
            np.testing.assert_allclose(
                [hit.distance for hit in results],
                [hit.distance for hit in expected],
                atol=1e-5,
            )


def article_vectors(session: onnxruntime.InferenceSession, paths: list[Path]) -> np.ndarray:
    """The article's own code: Keras preprocessing, one picture a run, L2-normalised."""
    rows = []
    nchw = session.get_inputs()[0].shape[1] == 3
    for path in paths:
        image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.NEAREST)
        x = np.asarray(image, np.float32)[:, :, ::-1] - np.float32([103.939, 116.779, 123.68])
        x = x.transpose(2, 0, 1) if nchw else x
        output = session.run(None, {session.get_inputs()[0].name: x[None]})[0].ravel()
        rows.append(output / np.linalg.norm(output))
    return np.asarray(rows)


def follow_the_article(
    models: dict[str, tuple[Path, int]], album: Path, tmp_path: Path, url: str
) -> None:
    photos = sorted(album.rglob("*.jpg"))[:6]
    embedders = [
        OnnxEmbedder(path, name=name, profile="keras-caffe") for name, (path, _) in models.items()
    ]
    vectors = MilvusVectorStore(str(tmp_path / "article.db"))
    metadata = RedisMetadataStore(url, prefix=f"article-{'-'.join(models)}")
    with vectors, metadata, SearchEngine(embedders, vectors, metadata) as engine:
        assert engine.index(photos).counts[Status.INDEXED] == len(photos)
        for name, (path, dimension) in models.items():
            collection = f"onnxsearch__{name}"
            assert vectors.describe(collection).dimension == dimension
            reference = article_vectors(onnxruntime.InferenceSession(path), photos)
            embedder = next(e for e in embedders if e.name == name)
            np.testing.assert_allclose(embedder.embed(photos), reference, atol=1e-6)
            distances = np.linalg.norm(reference[:, None] - reference[None], axis=2)
            found = engine.search_many(photos, model=name, limit=len(photos))
            for row, (photo, results) in enumerate(zip(photos, found, strict=True)):
                assert results[0].uri == str(photo)
                assert results[0].distance == pytest.approx(0, abs=1e-3)
                np.testing.assert_allclose(
                    [hit.distance for hit in results], np.sort(distances[row]), atol=1e-3
                )


@pytest.mark.integration
def test_the_articles_flow_with_vgg16(
    album: Path, tmp_path: Path, redis_server: RedisServer, shared: Shared, nhwc_model: Path
) -> None:
    models = {
        "vgg16": (shared("models/vgg16-notop.onnx"), 512),
        "wide": (nhwc_model, 2048),
    }
    follow_the_article(models, album, tmp_path, redis_server.url)


@pytest.mark.integration
def test_the_articles_flow_with_keras_exports(
    album: Path, tmp_path: Path, redis_server: RedisServer, keras_exports: Path
) -> None:
    models = {
        "vgg16": (keras_exports / "vgg16-keras-random.onnx", 512),
        "resnet50": (keras_exports / "resnet50-keras-random.onnx", 2048),
    }
    follow_the_article(models, album, tmp_path, redis_server.url)


@pytest.mark.integration
def test_the_default_model_finds_groceries(tmp_path: Path, shared: Shared) -> None:
    photos = sorted(shared("data/grocery").rglob("*.jpg"))
    with SearchEngine.open(tmp_path / "album") as engine:
        report = engine.index(shared("data/grocery"))
        assert len(report.outcomes) == len(photos) == 1237
        assert report.counts[Status.INDEXED] == 1237
        right = 0
        for photo, results in zip(photos, engine.search_many(photos, limit=2), strict=True):
            assert results[0].uri == str(photo)
            right += Path(str(results[1].uri)).parent == photo.parent
    assert right / len(photos) >= 0.79


@pytest.mark.integration
def test_hostile_files_all_have_an_outcome_and_memory_stays_bounded(
    tmp_path: Path, shared: Shared
) -> None:
    folder = shared("data/hostile")
    code = r"""if True:
        import pathlib, re, sys
        from onnxsearch import SearchEngine
        with SearchEngine.open(sys.argv[1]) as engine:
            report = engine.index(sys.argv[2])
            assert report.counts["indexed"] == engine.count() > 200, report
            assert all(o.error for o in report.failures)
        # Not getrusage: its peak counts what the parent had before it started this process.
        status = pathlib.Path("/proc/self/status").read_text()
        print(len(report.outcomes), re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "album"), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes, kilobytes = map(int, done.stdout.split())
    assert outcomes == sum(path.is_file() for path in folder.rglob("*"))
    assert kilobytes < 1.5 * 1024**2
