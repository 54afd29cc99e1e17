"""A folder as a source skips what `index` skips."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import (
    Folder,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    SearchEngine,
)
from onnxsearch.testing import FakeEmbedder, write_pictures


def engine() -> SearchEngine:
    return SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())


def test_a_folder_gives_what_index_finds(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a", "pets/b", ".hidden/c", "raw/d"])
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "broken.png").write_bytes(b"broken")
    (tmp_path / "photo").write_bytes((tmp_path / "a.png").read_bytes())
    one, other = engine(), engine()
    added = one.add_many(Folder(tmp_path, exclude=["raw/"]))
    indexed = other.index(tmp_path, exclude=["raw/"])
    assert added.counts == indexed.counts
    assert {o.uri: o.status for o in added.outcomes} == {o.uri: o.status for o in indexed.outcomes}
    hidden = Folder(tmp_path, include_hidden=True)
    assert one.add_many(hidden).counts["indexed"] == 2


def test_a_folder_is_checked_at_once(tmp_path: Path) -> None:
    (image,) = write_pictures(tmp_path, ["a"])
    with pytest.raises(ImageNotFoundError, match="no folder"):
        Folder(tmp_path / "nothing")
    with pytest.raises(InvalidArgumentError, match="is a file: expected a folder"):
        Folder(image)
