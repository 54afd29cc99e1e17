"""No file of an open store is opened a second time, whatever it is called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from onnxsearch import (
    LocalVectorStore,
    MilvusVectorStore,
    OnnxEmbedder,
    OnnxSearchError,
    SearchEngine,
    SQLiteMetadataStore,
    TextProfile,
    UnsupportedImageError,
    inspect_model,
)
from onnxsearch._internal import open_files
from onnxsearch._internal.open_files import StoreFileError, is_store_file, open_to_read
from onnxsearch.embedders.onnx.tokenization import TextEncoder
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.testing import FakeEmbedder, picture
from tests.internal.file_locks import locks_of

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="Linux shows locks in /proc")


@pytest.fixture
def album(tmp_path: Path) -> Iterator[SearchEngine]:
    with SearchEngine.open(tmp_path / "album", embedders=FakeEmbedder()) as engine:
        engine.add(picture("sofa"), id="sofa")
        yield engine


@needs_proc
@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_a_query_that_is_a_file_of_the_index_keeps_its_locks_of(
    album: SearchEngine, tmp_path: Path, link
):
    place = tmp_path / "album"
    before = locks_of(place)
    files = sorted(place.iterdir())
    assert before
    assert len(files) == 6
    for number, file in enumerate(files):
        path = tmp_path / f"linked{number}" if link else file
        if link:
            link(file, path)
        with pytest.raises(UnsupportedImageError, match="index that is open"):
            album.search(path)
    assert locks_of(place) == before


@needs_proc
def test_no_other_use_of_a_file_of_the_index_costs_its_locks(album: SearchEngine, tmp_path: Path):
    place = tmp_path / "album"
    before = locks_of(place)
    files = {file: file.stat().st_ino for file in place.iterdir()}
    for file in files:
        for use in (
            lambda: album.index([file]),  # noqa: B023, called at once
            lambda: album.load_snapshot(file),  # noqa: B023
            lambda: album.save_snapshot(file),  # noqa: B023
            lambda: OnnxEmbedder(file),  # noqa: B023
            lambda: inspect_model(file),  # noqa: B023
            lambda: TextEncoder(file, TextProfile.named("clip")),  # noqa: B023
            lambda: Config.read(file),  # noqa: B023
            lambda: album.search(picture("sofa")).to_html(file),  # noqa: B023
        ):
            with suppress(OnnxSearchError):
                use()
    assert {file: file.stat().st_ino for file in place.iterdir()} == files
    assert locks_of(place) == before > 0
    assert album.search(picture("sofa")).ids == ["sofa"]


def test_the_log_that_appears_later_is_known(tmp_path: Path):
    with SQLiteMetadataStore(tmp_path / "r.sqlite"):
        for name in ("r.sqlite", "r.sqlite-wal", "r.sqlite-shm"):
            assert is_store_file(tmp_path / name)
    assert not is_store_file(tmp_path / "r.sqlite")


def test_a_database_that_is_renamed_while_it_is_open_is_known(tmp_path: Path):
    with LocalVectorStore(tmp_path / "v.sqlite"):
        (tmp_path / "v.sqlite").rename(tmp_path / "other")
        assert is_store_file(tmp_path / "other")


def test_a_file_is_free_when_its_last_store_is_closed(tmp_path: Path):
    one, other = LocalVectorStore(tmp_path / "v.sqlite"), LocalVectorStore(tmp_path / "v.sqlite")
    one.close()
    one.close()
    assert is_store_file(tmp_path / "v.sqlite")
    other.close()
    with open_to_read(tmp_path / "v.sqlite") as file:
        assert file.read(6) == b"SQLite"


def test_other_files_beside_the_index_can_be_read(album: SearchEngine, tmp_path: Path):
    (tmp_path / "album" / "notes.txt").write_bytes(b"hello")
    with open_to_read(tmp_path / "album" / "notes.txt") as file:
        assert file.read() == b"hello"
    assert file.closed


@needs_proc
def test_a_store_that_is_opened_on_a_file_that_is_read_keeps_its_locks_of(tmp_path: Path):
    LocalVectorStore(tmp_path / "v.sqlite").close()
    with open_to_read(tmp_path / "v.sqlite") as file:
        store = LocalVectorStore(tmp_path / "v.sqlite")
        before = locks_of(tmp_path)
    assert before == locks_of(tmp_path) > 0
    assert not file.closed
    store.close()
    assert file.closed


def test_a_name_that_becomes_a_store_s_at_the_last_moment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with LocalVectorStore(tmp_path / "v.sqlite"):
        (tmp_path / "image.png").write_bytes(b"")
        look = open_files.is_store_file

        def swap(path: Path, status: os.stat_result | None = None) -> bool:
            found = look(path, status)
            if status is None:
                (tmp_path / "image.png").unlink()
                (tmp_path / "image.png").symlink_to(tmp_path / "v.sqlite")
            return found

        monkeypatch.setattr(open_files, "is_store_file", swap)
        with pytest.raises(StoreFileError), open_to_read(tmp_path / "image.png"):
            pass


def test_every_file_of_milvus_lite_is_known(tmp_path: Path):
    pytest.importorskip("milvus_lite")
    with MilvusVectorStore(tmp_path / "x.db"):
        files = [path for path in (tmp_path / "x.db").rglob("*") if path.is_file()]
        assert files
        assert all(map(is_store_file, files))
        os.link(files[0], tmp_path / "hard")
        os.symlink(tmp_path / "x.db", tmp_path / "folder")
        os.symlink(files[0], tmp_path / "soft")
        relative = files[0].relative_to(tmp_path / "x.db")
        for path in (tmp_path / "hard", tmp_path / "soft", tmp_path / "folder" / relative):
            assert is_store_file(path)
        (tmp_path / "free").write_bytes(b"")
        os.link(tmp_path / "free", tmp_path / "free too")
        assert not is_store_file(tmp_path / "free")
    assert not is_store_file(tmp_path / "hard")


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_store_that_was_dropped_unclosed_claims_no_later_file(tmp_path: Path) -> None:
    store = SQLiteMetadataStore(tmp_path / "records.sqlite")
    assert is_store_file(tmp_path / "records.sqlite")
    del store
    gc.collect()
    assert not is_store_file(tmp_path / "records.sqlite")
