"""An engine of small pictures, and frameworks that report nothing to anybody.

The frameworks are installed by `nox -s frameworks`; without them these tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from onnxsearch.testing import write_pictures
from tests.integrations.words import PETS, WordEmbedder

# Before the frameworks are imported, which read them once.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return the files of the pictures by name."""
    return dict(zip(PETS, write_pictures(tmp_path / "pets", PETS), strict=True))


@pytest.fixture
def engine(files: dict[str, Path]) -> Iterator[SearchEngine]:
    """Return an engine in which the words "pet" find the cat, then the dog, then the others."""
    with SearchEngine(WordEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        for number, (name, path) in enumerate(files.items()):
            metadata = {"caption": f"a {name}", "number": number, "model": "hidden"}
            engine.add(path, id=name, metadata=metadata)
        yield engine
