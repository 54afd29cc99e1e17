"""Haystack's own tests of filters, on the metadata of images in an engine."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("haystack", reason="haystack-ai is for `nox -s frameworks`")

from haystack import Document
from haystack.errors import FilterError
from haystack.testing.document_store import FilterDocumentsTest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    SearchEngine,
)
from onnxsearch.integrations.haystack_filters import as_filter
from onnxsearch.testing import FakeEmbedder, picture


class DocumentsByRecord:
    """Documents whose metadata an engine holds, so that it does the filtering."""

    def __init__(self) -> None:
        self.engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
        self.documents: dict[str, Document] = {}

    def write_documents(self, documents: list[Document]) -> None:
        for document in documents:
            self.documents[document.id] = document
            self.engine.add(picture(document.id), id=document.id, metadata=document.meta)

    def filter_documents(self, filters: Any = None) -> list[Document]:
        try:
            chosen = as_filter(filters)
        except InvalidArgumentError as error:
            raise FilterError(str(error)) from error
        return [self.documents[record.id] for record in self.engine.records(chosen)]


class TestFilters(FilterDocumentsTest):
    @pytest.fixture
    def document_store(self) -> DocumentsByRecord:
        return DocumentsByRecord()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        ids = [sorted(document.id for document in each) for each in (received, expected)]
        assert ids[0] == ids[1]
