"""Ray Data: what actors store, and what is left when one is killed."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    OnnxSearchError,
    SearchEngine,
    StoreUnavailableError,
)
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.integrations.ray_engines import OpenEngine, OpenFailingEngine, lines
from tests.servers import RedisServer

ray = pytest.importorskip("ray", reason="Ray is not installed: nox -s ray runs these tests")

from onnxsearch.integrations.ray import DatasetTable, RayIndexer  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    # Ray's own code, and what it leaves to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

NAMES = [f"image {number:02}" for number in range(40)]
BATCH = 5


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
    # Ray ends its processes, and does not wait for them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_pictures(tmp_path / "photos", NAMES)


def state(opened: OpenEngine) -> dict[str, Any]:
    """Return all that is stored, by id, with the id of the nearest image."""
    with opened(workers=1) as engine:
        report = engine.verify()
        assert report.ok, report.findings
        records = {record.id: record for record in engine.records()}
        vectors = engine.vectors(list(records))
    return {id: (records[id], row.tolist()) for id, row in zip(records, vectors, strict=True)}


def embedded(log: Path) -> Counter[str]:
    return Counter(lines(log))


def digest(name: str) -> str:
    return FakeEmbedder().prepare(picture(name)).tobytes().hex()


def test_a_folder_becomes_what_index_makes_of_it(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / "torn.png").write_bytes(photos[0].read_bytes()[:50])
    opened = OpenEngine(str(tmp_path / "ray"), tmp_path / "ray.log")
    alone = OpenEngine(str(tmp_path / "alone"), tmp_path / "alone.log")
    seen: list[int] = []
    report = RayIndexer(opened, actors=2, batch_size=BATCH).index(
        tmp_path / "photos",
        metadata={"trip": "alps"},
        progress=lambda progress: seen.append(progress.done),
    )
    with alone(workers=1) as engine:
        expected = engine.index(tmp_path / "photos", metadata={"trip": "alps"})
    assert report.outcomes == expected.outcomes
    assert seen == list(range(1, 43))
    assert state(opened) == state(alone)
    again = RayIndexer(opened, batch_size=BATCH).index(photos)
    assert again.counts["unchanged"] == len(photos)
    assert embedded(tmp_path / "ray.log") == Counter(map(digest, NAMES))


def test_rows_of_a_data_set(tmp_path: Path, photos: list[Path]) -> None:
    rows = [
        {"photo": path.read_bytes(), "sku": f"p{number}", "price": number}
        for number, path in enumerate(photos[:12])
    ]
    rows[3]["photo"] = b"no image"
    rows[4]["photo"] = None
    opened = OpenEngine(str(tmp_path / "index"), tmp_path / "log")
    dataset = ray.data.from_items(rows)
    indexer = RayIndexer(opened, batch_size=BATCH)
    outcomes = list(indexer.index_iter(DatasetTable(dataset, image="photo", id="sku")))
    assert [outcome.uri for outcome in outcomes] == [f"p{number}" for number in range(12)]
    assert [outcome.uri for outcome in outcomes if outcome.error] == ["p3", "p4"]
    assert "row" not in (outcomes[4].error or "")
    stored = state(opened)
    assert {id: record.metadata for id, (record, _) in stored.items()} == {
        f"p{number}": {"price": number} for number in range(12) if number not in (3, 4)
    }


def test_files_that_ray_reads(tmp_path: Path, photos: list[Path]) -> None:
    """Reading takes a core, which the actors must not take all of."""
    opened = OpenEngine(str(tmp_path / "index"), tmp_path / "log")
    dataset = ray.data.read_binary_files(str(tmp_path / "photos"), include_paths=True)
    table = DatasetTable(dataset, image="bytes", id="path")
    report = RayIndexer(opened, actors=2, batch_size=BATCH).index(table)
    assert report.counts["indexed"] == len(photos)
    assert {Path(id).name for id in state(opened)} == {path.name for path in photos}


@pytest.fixture(params=["local", "servers"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str | None]]:
    if request.param == "local":
        yield str(tmp_path / "index"), None
    else:
        url = request.getfixturevalue("milvus_url")
        with RedisServer(tmp_path / "redis").start() as server:
            yield url, server.url


def test_an_actor_that_is_killed(
    tmp_path: Path, photos: list[Path], places: tuple[str, str | None]
) -> None:
    deadly = NAMES[23]
    opened = OpenEngine(places[0], tmp_path / "log", places[1], deadly)
    report = RayIndexer(opened, actors=2, batch_size=BATCH).index(photos, metadata={"a": 1})
    assert lines(tmp_path / "log.deaths") == ["died"]
    alone = OpenEngine(str(tmp_path / "alone"), tmp_path / "alone.log")
    with alone(workers=1) as engine:
        expected = engine.index(photos, metadata={"a": 1})
    assert [outcome.id for outcome in report.outcomes] == [o.id for o in expected.outcomes]
    assert report.counts["indexed"] + report.counts["unchanged"] == len(photos)
    assert state(opened) == state(alone)
    # Nothing but the open batch of the actor was embedded twice.
    open_batch = set(map(digest, NAMES[20:25]))
    counts = embedded(tmp_path / "log")
    assert set(counts) == set(map(digest, NAMES))
    assert {image for image, count in counts.items() if count > 1} <= open_batch
    assert max(counts.values()) == 2


def test_an_image_that_kills_each_actor_ends_the_run(tmp_path: Path, photos: list[Path]) -> None:
    opened = OpenEngine(str(tmp_path / "index"), tmp_path / "log", deadly=NAMES[7], lives=99)
    with pytest.raises(OnnxSearchError, match=r"4 processes died .* 5 images from .*image 05") as e:
        RayIndexer(opened, actors=1, batch_size=BATCH).index(photos[:10])
    assert "image 09" in str(e.value)
    assert len(lines(tmp_path / "log.deaths")) == 4
    left_out = [path for path in photos[:10] if path != photos[7]]
    report = RayIndexer(opened, actors=1, batch_size=BATCH).index(left_out)
    assert report.counts["unchanged"] == 5
    assert report.counts["indexed"] == 4


def test_errors_of_actors_are_raised_as_they_were_there(tmp_path: Path, photos: list[Path]) -> None:
    opened = OpenEngine(str(tmp_path / "index"), tmp_path / "log")
    with pytest.raises(StoreUnavailableError, match="the store is gone"):
        RayIndexer(OpenFailingEngine(opened), batch_size=BATCH).index(photos)
    nobody = partial(
        SearchEngine.open, "http://127.0.0.1:9", records="redis://:secret@127.0.0.1:9/0"
    )
    with pytest.raises(StoreUnavailableError) as error:
        RayIndexer(nobody).index(photos)
    assert "secret" not in str(error.value)


def in_memory(*, workers: int) -> SearchEngine:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    return SearchEngine(FakeEmbedder(), *stores, workers=workers)


def test_what_cannot_work_is_refused(tmp_path: Path, photos: list[Path]) -> None:
    opened = OpenEngine(str(tmp_path / "index"), tmp_path / "log")
    dataset = ray.data.from_items([{"image": photos[0].read_bytes(), "n": 1}])
    with pytest.raises(InvalidArgumentError, match="in memory"):
        RayIndexer(in_memory).index(photos)
    with pytest.raises(InvalidArgumentError, match="no such column"):
        DatasetTable(dataset, image="photo")
    with pytest.raises(InvalidArgumentError, match="images are given as bytes"):
        RayIndexer(opened).index(DatasetTable(dataset))
    with pytest.raises(InvalidArgumentError, match="expected DatasetTable"):
        RayIndexer(opened).index(dataset)
    with pytest.raises(InvalidArgumentError, match=r"dataset .*: expected a data set of Ray"):
        DatasetTable([1])  # type: ignore[arg-type]
    with opened(workers=1) as engine:
        with pytest.raises(InvalidArgumentError, match=r"open_engine .* cannot be sent"):
            RayIndexer(lambda workers: engine)  # type: ignore[arg-type, misc]
        assert len(engine) == 0
    for name, wrong in [("actors", 0), ("cpus", 1.5), ("gpus", -1), ("batch_size", 0)]:
        with pytest.raises(InvalidArgumentError, match=name):
            RayIndexer(opened, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="open_engine"):
        RayIndexer("http://milvus:19530")  # type: ignore[arg-type]
