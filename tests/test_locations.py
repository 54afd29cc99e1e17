"""Whether an index is there can be asked without making one."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import InvalidArgumentError, SearchEngine
from onnxsearch.locations import missing_files
from onnxsearch.testing import FakeEmbedder


def test_a_folder_of_images_is_not_an_index_and_does_not_become_one(tmp_path: Path):
    assert missing_files(tmp_path) == [tmp_path / "vectors.sqlite", tmp_path / "records.sqlite"]
    assert missing_files(tmp_path / "x.db")[0] == tmp_path / "x.db"
    assert not list(tmp_path.iterdir())


def test_an_index_lacks_nothing(tmp_path: Path):
    SearchEngine.open(tmp_path, embedders=FakeEmbedder()).close()
    assert missing_files(tmp_path) == []
    assert missing_files(tmp_path, tmp_path / "typo.sqlite") == [tmp_path / "typo.sqlite"]
    assert missing_files(tmp_path, "redis://localhost:1") == []


def test_what_is_on_servers_counts_as_there():
    assert missing_files("http://localhost:1", "redis://localhost:1") == []
    assert missing_files("http://localhost:1") == []


@pytest.mark.parametrize("address", ["localhost:19530", "milvus.example.org:443"])
def test_an_address_without_http_makes_no_folder(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match=f"expected http://{address} for a Milvus"):
        SearchEngine.open(address)
    assert not list(tmp_path.iterdir())


def test_what_reads_like_a_password_is_not_shown():
    with pytest.raises(InvalidArgumentError) as refused:
        missing_files("user:hunter2@host")
    assert "hunter2" not in str(refused.value)
