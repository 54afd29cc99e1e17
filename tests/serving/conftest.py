"""A service over an index of fake images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from onnxsearch.serving import ServiceLimits, create_app
from onnxsearch.testing import FakeEmbedder, picture, write_pictures

LIMITS = ServiceLimits(
    upload_bytes=200_000, images=2, top_k=20, offset=1_000, upload_seconds=5, stall_seconds=1
)
TOKEN = "a-token-of-22-letters!"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchEngine]:
    """Cat, dog and fox from files in a folder, and "owl" from memory."""
    folder = tmp_path_factory.mktemp("album")
    fakes = [
        FakeEmbedder("near", rankings={"query": ["cat", "dog"]}),
        FakeEmbedder("far", rankings={"query": ["dog", "cat"]}),
    ]
    write_pictures(folder, ["cat", "dog", "fox"])
    engine = SearchEngine(fakes, InMemoryVectorStore(), InMemoryMetadataStore())
    engine.index(folder, root=folder, metadata=lambda path: {"kind": path.stem, "legs": 4})
    engine.add(picture("owl"), id="owl", metadata={"kind": "owl", "legs": 2})
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def client(engine: SearchEngine) -> Iterator[TestClient]:
    with TestClient(create_app(engine, limits=LIMITS), base_url="http://localhost") as client:
        yield client
