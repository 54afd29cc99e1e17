"""A library without a model: the test says which photos look alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsearch import BrokenImageError, InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from onnxsearch.testing import FakeEmbedder, write_pictures
from photo_search.library import PhotoLibrary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos of a trip, one of a party, and a damaged one."""
    names = ["trip/beach", "trip/sea", "trip/forest", "party/cake", "party/damaged"]
    write_pictures(tmp_path / "photos", names)
    return tmp_path / "photos"


# [engine]
@pytest.fixture
def engine() -> Iterator[SearchEngine]:
    """Return an engine for which the beach looks like the sea, then the forest."""
    embedder = FakeEmbedder(
        rankings={"trip/beach": ["trip/sea", "trip/forest"], "upload": ["party/cake"]},
        failures={"party/damaged": BrokenImageError("the file ends early")},
    )
    with SearchEngine(embedder, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        yield engine


# [engine end]


@pytest.fixture
def library(engine: SearchEngine, folder: Path) -> PhotoLibrary:
    """Return a library that holds the photos of the folder."""
    # Fakes are less alike than photos.
    library = PhotoLibrary(engine, least_likeness=0.05)
    library.import_folder(folder)
    return library
