"""An index that an earlier version stored opens, unchanged and complete."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from onnxsearch import SearchEngine

STORED = Path(__file__).parents[1] / "golden" / "stored_album.zip"
QUERIES = Path(__file__).parents[2] / "examples" / "queries"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The six images of `examples/queries`, indexed before the modules moved (a884b9b)."""
    with zipfile.ZipFile(STORED) as archive:
        archive.extractall(tmp_path / "album")
    return tmp_path / "album"


def test_opens_with_the_same_fingerprint(stored: Path) -> None:
    # A changed fingerprint would raise SpaceMismatchError here.
    with SearchEngine.open(stored) as engine:
        assert engine.models == ["efficientnet-lite2"]
        assert engine.count() == 6
        assert engine.verify().ok


def test_finds_what_was_stored(stored: Path) -> None:
    with SearchEngine.open(stored) as engine:
        for query in sorted(QUERIES.glob("*.jpg")):
            nearest, second = engine.search(query, limit=2)
            assert nearest.id == query.stem
            assert nearest.distance == pytest.approx(0, abs=1e-3)
            assert second.distance > 1
            assert nearest.metadata == {"file": query.name, "price": 1.5, "tags": ["a", "b"]}


def test_takes_more_images(stored: Path) -> None:
    with SearchEngine.open(stored) as engine:
        engine.add(QUERIES / "cat.jpg", id="another")
        assert {hit.id for hit in engine.search(QUERIES / "cat.jpg", limit=2)} == {"cat", "another"}
