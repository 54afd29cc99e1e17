"""LangChain: its standard tests, and what they do not ask."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="langchain-tests is for `nox -s frameworks`")

from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from onnxsearch import F, ImageNotFoundError, InvalidArgumentError, SearchEngine
from onnxsearch.integrations.langchain import ImageSearchEmbeddings, ImageSearchRetriever
from onnxsearch.testing import FakeEmbedder, picture
from tests.integrations.words import WordEmbedder


class TestRetrieverStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _engine(self, engine: SearchEngine) -> None:
        self.engine = engine

    @property
    def retriever_constructor(self) -> type[ImageSearchRetriever]:
        return ImageSearchRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"engine": self.engine}

    @property
    def retriever_query_example(self) -> str:
        return "pet"


class TestEmbeddingsUnitStandard(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[ImageSearchEmbeddings]:
        return ImageSearchEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": WordEmbedder()}


class TestEmbeddingsStandard(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[ImageSearchEmbeddings]:
        return ImageSearchEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedder": WordEmbedder()}


def test_documents_are_the_images(engine: SearchEngine, files: dict[str, Path]) -> None:
    hit = engine.search(text="pet", limit=1)[0]
    retriever = ImageSearchRetriever(engine=engine, content_field="caption")
    first, second = retriever.invoke("pet", k=2)
    assert (first.id, first.page_content, second.id) == ("cat", "a cat", "dog")
    assert first.metadata == {
        "caption": "a cat",
        "number": 0,
        "id": "cat",
        "path": str(files["cat"]),
        "distance": hit.distance,
        "score": hit.score,
        "similarity": hit.similarity,
        "model": "words",
    }
    assert ImageSearchRetriever(engine=engine).invoke("pet", k=1)[0].page_content == "cat"


def test_waiting_finds_the_same(engine: SearchEngine) -> None:
    retriever = ImageSearchRetriever(engine=engine, k=3)
    later = asyncio.run(retriever.ainvoke("pet", k=2, filter=F("number") > 0))
    assert later == retriever.invoke("pet", k=2, filter=F("number") > 0)
    assert later[0].id == "dog"
    both = asyncio.run(retriever.abatch(["pet", "owl"]))
    assert [documents[0].id for documents in both] == ["cat", "owl"]


def test_words_never_open_a_file(
    engine: SearchEngine, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files["cat"].parent)
    retriever = ImageSearchRetriever(engine=engine)
    opened: list[object] = []
    monkeypatch.setattr("builtins.open", lambda *args, **_: opened.append(args))
    for words in (str(files["cat"]), "cat.png", "/etc/passwd", "http://localhost/cat.png", "\0"):
        retriever.invoke(words)
    assert opened == []


def test_a_query_is_a_path_or_an_id_if_told(engine: SearchEngine, files: dict[str, Path]) -> None:
    by_path = ImageSearchRetriever(engine=engine, query_kind="path")
    assert by_path.invoke(str(files["fox"]))[0].id == "fox"
    with pytest.raises(ImageNotFoundError):
        by_path.invoke("fox")
    by_id = ImageSearchRetriever(engine=engine, query_kind="id")
    assert by_id.invoke("owl")[0].id == "owl"
    with pytest.raises(InvalidArgumentError, match="stored"):
        by_id.invoke(str(files["owl"]))


@pytest.mark.parametrize("kind", ["words", "id", "path"])
def test_an_empty_query_is_refused(engine: SearchEngine, kind: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="empty"):
        ImageSearchRetriever(engine=engine, query_kind=kind).invoke("")


@pytest.mark.parametrize(
    "wrong", [{"engine": "album"}, {"k": 0}, {"query_kind": "url"}, {"filter": {"a": 1}}]
)
def test_wrong_arguments_are_refused_at_once(engine: SearchEngine, wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageSearchRetriever(**{"engine": engine, **wrong})


def test_a_wrong_number_of_documents_is_refused(engine: SearchEngine) -> None:
    with pytest.raises(InvalidArgumentError, match="k 0"):
        ImageSearchRetriever(engine=engine).invoke("pet", k=0)


def test_a_retriever_is_a_step_of_a_chain(engine: SearchEngine) -> None:
    retriever = ImageSearchRetriever(engine=engine, min_score=0.5, filter=F("number") < 3)
    chain = retriever | RunnableLambda(lambda documents: [d.id for d in documents])
    assert chain.invoke("fox") == ["fox"]


def test_images_and_words_are_in_one_space(files: dict[str, Path]) -> None:
    embeddings = ImageSearchEmbeddings(WordEmbedder())
    (by_path, by_picture) = embeddings.embed_image([str(files["cat"]), picture("cat")])
    assert by_path == by_picture == embeddings.embed_query("cat")
    assert asyncio.run(embeddings.aembed_image(uris=[os.fspath(files["cat"])])) == [by_path]


def test_a_model_without_words_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match="text tower"):
        ImageSearchEmbeddings(FakeEmbedder()).embed_query("cat")
    wrong: Any = "efficientnet-lite2"
    with pytest.raises(InvalidArgumentError, match="embedder"):
        ImageSearchEmbeddings(wrong)
