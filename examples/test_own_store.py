"""The contracts of the built-in stores, run on the two stores of own_store.py.

cd examples && python -m pytest test_own_store.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from own_store import FolderVectorStore, LogMetadataStore

from onnxsearch.testing import MetadataStoreContract, VectorStoreContract


class TestFolderVectorStore(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make_store(self, place: str = "one") -> FolderVectorStore:
        return FolderVectorStore(self.path / place)


class TestLogMetadataStore(MetadataStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make_store(self, place: str = "one") -> LogMetadataStore:
        return LogMetadataStore(self.path / f"{place}.log")
