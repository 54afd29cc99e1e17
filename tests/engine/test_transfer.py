"""Moving house: copies between engines, and snapshots."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    MilvusVectorStore,
    Progress,
    RedisMetadataStore,
    SearchEngine,
    SpaceMismatchError,
    SQLiteMetadataStore,
    StoreError,
    StoreUnavailableError,
    UnknownModelError,
)
from onnxsearch.catalog.records import StoredImage
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture,
    picture_bytes,
    write_pictures,
)
from onnxsearch.vectors.base import Vectors
from tests.engine.stores import assert_consistent
from tests.servers import RedisServer

NUMBER = 600  # more than two batches


def embedders() -> list[FakeEmbedder]:
    return [FakeEmbedder("one"), FakeEmbedder("two.b", dimension=8)]


def new_engine() -> SearchEngine:
    return SearchEngine(embedders(), InMemoryVectorStore(), InMemoryMetadataStore())


def engine_of(*models: str) -> SearchEngine:
    fakes = [FakeEmbedder(model) for model in models]
    return SearchEngine(fakes, InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture(scope="module")
def filled() -> SearchEngine:
    engine = new_engine()
    for number in range(NUMBER):
        engine.add(picture(str(number)), id=f'it\'s "{number}" \x00 😀', metadata={"n": number})
    return engine


def same(one: SearchEngine, other: SearchEngine) -> bool:
    def everything(engine: SearchEngine) -> dict[str, object]:
        catalog = engine._catalog
        stored = list(catalog.records.images())
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


def test_engines_without_a_common_model_are_told_so(tmp_path: Path) -> None:
    here, there = engine_of("a"), engine_of("b")
    there.add(picture("cat"), id="cat")
    here.add(picture("cat"), id="cat", metadata={"from": "here"})
    here.save_snapshot(tmp_path / "snapshot.zip")
    with pytest.raises(UnknownModelError, match=r"have vectors of a, and .* searches with b"):
        here.copy_to(there)
    with pytest.raises(UnknownModelError, match=r"have vectors of a, and .* searches with b"):
        there.load_snapshot(tmp_path / "snapshot.zip")
    assert [(hit.id, hit.metadata) for hit in there.search(picture("cat"))] == [("cat", {})]


def test_another_space_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    """Also if only the last picture has the vector that does not fit."""
    one = engine_of("a")
    for number in range(300):
        one.add(picture(str(number)), id=str(number))
    catalog = one._catalog
    *_, last = catalog.records.values()
    here = SearchEngine([FakeEmbedder("a"), FakeEmbedder("b")], catalog.vectors, catalog.metadata)
    here.add(picture("last"), id=last.id)
    here.save_snapshot(tmp_path / "snapshot.zip")
    others = [FakeEmbedder("a"), FakeEmbedder("b", dimension=8)]
    there = SearchEngine(others, InMemoryVectorStore(), InMemoryMetadataStore())
    with pytest.raises(SpaceMismatchError):
        here.copy_to(there)
    with pytest.raises(SpaceMismatchError):
        there.load_snapshot(tmp_path / "snapshot.zip")
    assert there.count() == 0


def add(engine: SearchEngine, name: str, folder: Path, **metadata: str) -> str:
    return engine.add(picture(name), id="it", metadata=metadata)


def index(engine: SearchEngine, name: str, folder: Path, **metadata: str) -> str:
    path = folder / "it.png"
    path.write_bytes(picture_bytes(name))
    engine.index(path, metadata=metadata)
    return str(path)


@pytest.mark.parametrize("store", [add, index])
def test_a_copy_keeps_vectors_of_models_that_only_the_other_engine_has(
    store: Callable[..., str], tmp_path: Path
) -> None:
    here, there = engine_of("a"), engine_of("b", "a")
    store(there, "cat", tmp_path)
    id = store(here, "cat", tmp_path, seen="here")
    assert here.copy_to(there).copied == 1
    assert here.copy_to(there).unchanged == 1
    assert there.get(id).metadata == {"seen": "here"}
    for model in ("a", "b"):
        assert there.search(picture("cat"), model=model).ids == [id]
    assert there.verify().ok


@pytest.mark.parametrize("store", [add, index])
def test_vectors_of_another_picture_are_not_kept(store: Callable[..., str], tmp_path: Path) -> None:
    here, there = engine_of("a"), engine_of("a", "b")
    store(there, "cat", tmp_path)
    id = store(here, "dog", tmp_path)
    assert here.copy_to(there).copied == 1
    assert there.get(id).models == ("a",)
    assert there.search(picture("dog"), model="a")[0].distance == pytest.approx(0, abs=1e-3)
    assert there.search(picture("dog"), model="b").ids == []
    assert there.verify().ok


def test_a_vector_that_is_filled_in_meanwhile_is_kept(tmp_path: Path) -> None:
    here, old = engine_of("a"), engine_of("a")
    index(old, "cat", tmp_path)
    id = index(here, "cat", tmp_path, seen="here")
    catalog = old._catalog
    there = SearchEngine([FakeEmbedder("a"), FakeEmbedder("b")], catalog.vectors, catalog.metadata)
    between_reading_and_writing(there, lambda: there.backfill("b"))
    assert here.copy_to(there).copied == 1
    assert set(there.get(id).models) == {"a", "b"}
    assert there.get(id).metadata == {"seen": "here"}
    assert there.verify().ok


def between_reading_and_writing(engine: SearchEngine, act: Callable[[], object]) -> None:
    """Have something happen once, after vectors were read."""
    catalog, read = engine._catalog, engine._catalog.vectors_of

    def read_and_act(pictures: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        found = read(pictures)
        catalog.vectors_of = read  # type: ignore[method-assign]
        act()
        return found

    catalog.vectors_of = read_and_act  # type: ignore[method-assign]


def test_new_pictures_get_missing_vectors_by_backfill(tmp_path: Path) -> None:
    here, there = engine_of("a"), engine_of("a", "b")
    write_pictures(tmp_path, ["cat", "dog"])
    here.index(tmp_path)
    assert here.copy_to(there).copied == 2
    assert len(there.search(picture("cat"), model="b")) == 0
    assert there.backfill("b").counts["indexed"] == 2
    assert len(there.search(picture("cat"), model="b")) == 2
    assert here.copy_to(there).unchanged == 2


def test_an_engine_is_not_copied_to_itself() -> None:
    engine = engine_of("a")
    catalog = engine._catalog
    engine.add(picture("cat"), id="cat")
    again = SearchEngine(FakeEmbedder("a"), catalog.vectors, catalog.metadata)
    for same_one in (engine, again):
        with pytest.raises(InvalidArgumentError, match="to itself"):
            engine.copy_to(same_one)
    beside = SearchEngine(FakeEmbedder("a"), catalog.vectors, catalog.metadata, namespace="beside")
    assert engine.copy_to(beside).copied == 1


@pytest.mark.parametrize("other", [None, "album", 5])
def test_what_is_no_engine_cannot_be_copied_to(other: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a SearchEngine"):
        engine_of("a").copy_to(other)


@pytest.mark.integration
def test_much_metadata_goes_along(tmp_path: Path) -> None:
    """More than a commit takes, if 256 pictures went at once."""
    here, path = engine_of("a"), tmp_path / "snapshot.zip"
    for number in range(34):
        here.add(picture(str(number)), id=str(number), metadata={"text": "x" * 1_000_000})
    assert here.copy_to(engine_of("a")).copied == 34
    here.save_snapshot(path)
    with zipfile.ZipFile(path) as file:
        assert max(info.file_size for info in file.infolist()) <= 4 * 2**20
    assert engine_of("a").load_snapshot(path).copied == 34


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


def test_snapshots_may_be_saved_to_one_path_at_once(filled: SearchEngine, tmp_path: Path) -> None:
    path, other = tmp_path / "snapshot.zip", engine_of("a")
    other.add(picture("cat"), id="cat")
    filled.save_snapshot(path, progress=lambda _: other.save_snapshot(path))
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot.zip"]
    assert new_engine().load_snapshot(path).copied == NUMBER


def test_a_snapshot_is_on_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=function: (calls.append(n), f(*a)))
    engine_of("a").save_snapshot(tmp_path / "snapshot.zip")
    assert calls[:2] == ["fsync", "replace"]


@pytest.mark.parametrize("path", [None, 5, "a\0b", "\ud800"])
def test_what_is_no_path_has_no_snapshot(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a file's path"):
        engine_of("a").save_snapshot(path)
    with pytest.raises(InvalidArgumentError, match="expected a file's path"):
        engine_of("a").load_snapshot(path)


def test_a_folder_is_no_snapshot(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        engine_of("a").save_snapshot(tmp_path, progress=seen.append)
    with pytest.raises(StoreError, match="cannot be read"):
        engine_of("a").load_snapshot(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        engine_of("a").save_snapshot(tmp_path / "file" / "snapshot.zip")
    assert not seen


def test_pictures_that_are_removed_meanwhile_leave_no_gap(tmp_path: Path) -> None:
    engine, path = engine_of("a"), tmp_path / "snapshot.zip"
    engine.add(picture("cat"), id="cat")
    read = engine._catalog.vectors_of
    between = lambda pictures: (engine.remove("cat"), read(pictures))[1]  # noqa: E731
    engine._catalog.vectors_of = between  # type: ignore[method-assign]
    assert engine.save_snapshot(path) == 0
    assert engine_of("a").load_snapshot(path).copied == 0


def test_a_picture_that_is_replaced_again_and_again_comes_whole(tmp_path: Path) -> None:
    engine, other = engine_of("a", "b"), engine_of("a", "b")
    engine.add(picture("0"), id="it")
    read, versions = engine._catalog.vectors_of, iter(range(1, 4))

    def replace_and_read(pictures: Collection[StoredImage]) -> dict[str, dict[str, Vectors]]:
        for version in versions:
            engine.add(picture(str(version)), id="it", metadata={"version": version})
            break
        return read(pictures)

    engine._catalog.vectors_of = replace_and_read  # type: ignore[method-assign]
    assert engine.copy_to(other).copied == 1
    assert same(engine, other)
    assert other.get("it").metadata == {"version": 3}


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
