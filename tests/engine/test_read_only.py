"""An index on a volume that cannot be written is searched, and every write says why it fails."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from onnxsearch import SearchEngine, StoreCorruptError, StoreUnavailableError
from onnxsearch.testing import FakeEmbedder, picture


def open_album(place: Path) -> SearchEngine:
    return SearchEngine.open(place, embedders=FakeEmbedder(), workers=1)


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "an album? with #marks"
    with open_album(place) as album:
        album.add(picture("a"), id="a", metadata={"year": 2020})
    # Tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    return place


def test_it_is_searched_and_nothing_is_written(frozen: Path):
    before = {path.name: path.read_bytes() for path in frozen.iterdir()}
    with open_album(frozen) as album:
        assert album.search(picture("a")).ids == ["a"]
        assert album.count() == 1
        assert album.verify().ok
        for write in (lambda: album.add(picture("b")), lambda: album.remove(["a"])):
            with pytest.raises(StoreUnavailableError, match="read-only"):
                write()
        assert {path.name: path.read_bytes() for path in frozen.iterdir()} == before
    assert {path.name: path.read_bytes() for path in frozen.iterdir()} == before


def test_an_index_that_remembers_no_models_is_searched(frozen: Path):
    with sqlite3.connect(frozen / "records.sqlite") as connection:
        assert connection.execute("DELETE FROM cell WHERE tab = 'onnxsearch:models'").rowcount == 1
    connection.close()
    with open_album(frozen) as album:
        assert album.search(picture("a")).ids == ["a"]
        assert album.info().models == ()


def test_a_new_model_cannot_be_added(frozen: Path):
    with pytest.raises(StoreUnavailableError, match="read-only"):
        SearchEngine.open(frozen, embedders=FakeEmbedder(name="other"))


def test_files_of_others_are_still_refused(frozen: Path):
    (frozen / "records.sqlite").write_bytes(b"not a database " * 1000)
    with pytest.raises(StoreCorruptError):
        open_album(frozen)
