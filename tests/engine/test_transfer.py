"""Moving house: copies between engines, and snapshots, also hostile ones."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    MilvusVectorStore,
    OnnxSearchError,
    Progress,
    RedisMetadataStore,
    SearchEngine,
    SpaceMismatchError,
    SQLiteMetadataStore,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture,
)
from tests.engine.stores import assert_consistent
from tests.servers import RedisServer

NUMBER = 600  # more than two batches


def embedders() -> list[FakeEmbedder]:
    return [FakeEmbedder("one"), FakeEmbedder("two.b", dimension=8)]


def new_engine() -> SearchEngine:
    return SearchEngine(embedders(), InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture(scope="module")
def filled() -> SearchEngine:
    engine = new_engine()
    for number in range(NUMBER):
        engine.add(picture(str(number)), id=f'it\'s "{number}" \x00 😀', metadata={"n": number})
    return engine


def same(one: SearchEngine, other: SearchEngine) -> bool:
    def everything(engine: SearchEngine) -> dict[str, object]:
        catalog = engine._catalog
        stored = list(catalog.ledger.pictures())
        vectors = catalog.vectors_of(stored)
        return {
            s.record.id: (s.record, {m: v.tolist() for m, v in vectors[s.key].items()})
            for s in stored
        }

    return everything(one) == everything(other)


def test_a_copy_has_the_same_records_and_vectors(filled: SearchEngine) -> None:
    models = embedders()
    other = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())
    seen: list[Progress] = []
    report = filled.copy_to(other, progress=seen.append)
    assert (report.copied, report.unchanged) == (NUMBER, 0)
    assert [p.done for p in seen] == [256, 512, NUMBER]
    assert seen[-1].total == NUMBER
    assert same(filled, other)
    assert other.verify().ok
    assert not any(model.calls.batches for model in models), "a model ran"


def test_a_second_copy_does_only_what_is_left(filled: SearchEngine) -> None:
    other = new_engine()
    filled.copy_to(other)
    other.remove('it\'s "7" \x00 😀')
    other.add(picture("another"), id='it\'s "8" \x00 😀', metadata={"n": 8})
    other.add(picture("its own"), id="its own")
    report = filled.copy_to(other)
    assert (report.copied, report.unchanged) == (2, NUMBER - 2)
    assert other.remove("its own") == ["its own"]
    assert same(filled, other)


def test_a_copy_that_was_stopped_goes_on(filled: SearchEngine) -> None:
    vectors, metadata, faults = InMemoryVectorStore(), InMemoryMetadataStore(), Faults()
    other = SearchEngine(
        embedders(), FaultyVectorStore(vectors, faults), FaultyMetadataStore(metadata, faults)
    )
    faults.fail(at=6)
    with pytest.raises(StoreUnavailableError):
        filled.copy_to(other)
    assert 0 < other.count() < NUMBER
    report = filled.copy_to(other)
    assert report.unchanged == NUMBER - report.copied > 0
    assert same(filled, other)
    assert_consistent(vectors, metadata)


def test_a_copy_brings_models_that_the_other_engine_does_not_use(filled: SearchEngine) -> None:
    vectors, metadata = InMemoryVectorStore(), InMemoryMetadataStore()
    filled.copy_to(SearchEngine(FakeEmbedder("one"), vectors, metadata))
    assert same(filled, SearchEngine(embedders(), vectors, metadata))


def test_spaces_do_not_mix(filled: SearchEngine, tmp_path: Path) -> None:
    other = SearchEngine(
        FakeEmbedder("one", rankings={"a": ["b"]}), InMemoryVectorStore(), InMemoryMetadataStore()
    )
    filled.save_snapshot(tmp_path / "snapshot.zip")
    with pytest.raises(SpaceMismatchError):
        filled.copy_to(other)
    with pytest.raises(SpaceMismatchError):
        other.load_snapshot(tmp_path / "snapshot.zip")
    assert other.count() == 0


def test_a_snapshot_has_everything(filled: SearchEngine, tmp_path: Path) -> None:
    path, other = tmp_path / "snapshot.zip", new_engine()
    assert filled.save_snapshot(path) == NUMBER
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot.zip"]
    report = other.load_snapshot(path)
    assert (report.copied, report.unchanged) == (NUMBER, 0)
    assert same(filled, other)
    assert other.load_snapshot(path).unchanged == NUMBER


def test_an_empty_engine_has_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.zip"
    assert new_engine().save_snapshot(path) == 0
    assert new_engine().load_snapshot(path).copied == 0


def test_a_snapshot_that_fails_leaves_the_old_one(filled: SearchEngine, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.zip"
    filled.save_snapshot(path)
    before = path.read_bytes()

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.save_snapshot(path, progress=stop)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot.zip"]
    with pytest.raises(StoreError, match="cannot be written"):
        filled.save_snapshot(tmp_path / "no such folder" / "snapshot.zip")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    engine = new_engine()
    for name in ("cat", "dog"):
        engine.add(picture(name), id=name)
    engine.save_snapshot(tmp_path / "small.zip")
    return tmp_path / "small.zip"


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    path = path.with_name("changed.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def npy(array: object, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=pickled)
    return buffer.getvalue()


def manifest(members: dict[str, bytes], **values: object) -> None:
    members["manifest.json"] = json.dumps(
        {**json.loads(members["manifest.json"]), **values}
    ).encode()


def record(members: dict[str, bytes], **values: object) -> None:
    first, second = members["00000.jsonl"].split(b"\n")
    changed = json.dumps({**json.loads(first), **values}).encode()
    members["00000.jsonl"] = changed + b"\n" + second


NAN = npy(np.full((2, 16), np.nan, np.float32))
HOSTILE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "no manifest": lambda m: m.pop("manifest.json"),
    "no JSON": lambda m: m.update({"manifest.json": b"{"}),
    "a list": lambda m: m.update({"manifest.json": b"[]"}),
    "deep JSON": lambda m: m.update({"manifest.json": b"[" * 100_000}),
    "another format": lambda m: manifest(m, format="something"),
    "a later version": lambda m: manifest(m, version=2),
    "endless parts": lambda m: manifest(m, parts=1e400),
    "more parts than there are": lambda m: manifest(m, parts=10),
    "no such metric": lambda m: manifest(m, models=[{"name": "one", "metric": "x"}]),
    "no records": lambda m: m.pop("00000.jsonl"),
    "too many records": lambda m: m.update({"00000.jsonl": m["00000.jsonl"] * 200}),
    "a bomb": lambda m: m.update({"00000.jsonl": b" " * (65 * 2**20)}),
    "no vectors": lambda m: m.pop("0/00000.npy"),
    "a large matrix": lambda m: m.update({"0/00000.npy": npy(np.zeros((99, 99), np.float32))}),
    "another type": lambda m: m.update({"0/00000.npy": npy(np.zeros((2, 16)))}),
    "code": lambda m: m.update({"0/00000.npy": npy([print, print], pickled=True)}),
    "no array": lambda m: m.update({"0/00000.npy": b"\x93NUMPY\x01\x00\xff\xff"}),
    "not finite": lambda m: m.update({"0/00000.npy": NAN}),
    "an id that is none": lambda m: record(m, id=7),
    "an empty id": lambda m: record(m, id=""),
    "metadata that are none": lambda m: record(m, metadata=[1]),
    "a number for a path": lambda m: record(m, uri=7),
    "text for a number": lambda m: record(m, size="large"),
    "a hash that is none": lambda m: record(m, content="../../etc"),
    "a model that is not there": lambda m: record(m, models=["three"]),
    "models that are no texts": lambda m: record(m, models=[["one"]]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_snapshot_is_refused(small: Path, change: Callable[..., object]) -> None:
    engine = new_engine()
    with pytest.raises(StoreCorruptError):
        engine.load_snapshot(rewritten(small, lambda members: change(members) and None))
    assert engine.verify().ok


def test_a_damaged_snapshot_is_refused(small: Path) -> None:
    """Cut off or with a byte changed, wherever: our error, or what it was before."""
    whole = small.read_bytes()
    damaged = small.with_name("damaged.zip")
    for place in range(0, len(whole), 37):
        flipped = bytes([whole[place] ^ 0x55])
        for data in (whole[:place], whole[:place] + flipped + whole[place + 1 :]):
            damaged.write_bytes(data)
            engine = new_engine()
            try:
                engine.load_snapshot(damaged)
            except OnnxSearchError:
                continue
            assert all(
                id in ("cat", "dog") for id in (r.id for r in engine._catalog.ledger.records())
            )


def test_no_snapshot_at_all(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(StoreCorruptError, match="not a zip file"):
        new_engine().load_snapshot(tmp_path / "text.zip")
    with pytest.raises(StoreError, match="cannot be read"):
        new_engine().load_snapshot(tmp_path / "nothing.zip")


@pytest.mark.integration
def test_from_embedded_stores_to_milvus_and_redis_and_back(
    filled: SearchEngine, tmp_path: Path
) -> None:
    with (
        RedisServer(tmp_path / "redis").start() as server,
        RedisMetadataStore(server.url) as redis,
        MilvusVectorStore(str(tmp_path / "album.db")) as milvus,
        LocalVectorStore(tmp_path / "vectors.sqlite") as local,
        SQLiteMetadataStore(tmp_path / "records.sqlite") as sqlite,
    ):
        there = SearchEngine(embedders(), milvus, redis)
        back = SearchEngine(embedders(), local, sqlite)
        assert filled.copy_to(there).copied == NUMBER
        assert filled.copy_to(there).unchanged == NUMBER
        assert there.copy_to(back).copied == NUMBER
        assert same(filled, back)
        assert there.verify().ok
        assert back.verify().ok
