"""LlamaIndex: a retriever, and an embedding in an index of LlamaIndex."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is for `nox -s frameworks`")

from llama_index.core import Settings
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import BaseEmbedding, MultiModalEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms.mock import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import ImageNode, QueryBundle, TextNode

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    SearchEngine,
)
from onnxsearch.integrations.llamaindex import ImageNodeRetriever, ImageSearchEmbedding
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes
from tests.integrations.words import WordEmbedder


def test_classes_are_those_that_llamaindex_expects() -> None:
    """The test that every integration package of LlamaIndex has."""
    assert {MultiModalEmbedding, BaseEmbedding} <= set(ImageSearchEmbedding.__mro__)
    assert BaseRetriever in ImageNodeRetriever.__mro__


def test_nodes_are_the_images(engine: SearchEngine, files: dict[str, Path]) -> None:
    retriever = ImageNodeRetriever(engine, similarity_top_k=2, content_field="caption")
    first, second = retriever.retrieve("pet")
    node = first.node
    assert isinstance(node, ImageNode)
    assert (node.node_id, node.text, second.node.node_id) == ("cat", "a cat", "dog")
    assert node.image_path == str(files["cat"])
    assert node.resolve_image() == str(files["cat"])
    assert first.score == engine.search(text="pet")[0].score
    assert node.metadata["model"] == "words"
    assert node.metadata["number"] == 0


def test_waiting_finds_the_same(engine: SearchEngine) -> None:
    retriever = ImageNodeRetriever(engine, filter=F("number") > 0)
    assert asyncio.run(retriever.aretrieve("pet")) == retriever.retrieve("pet")


def test_a_bundle_with_an_image_or_a_vector(engine: SearchEngine, files: dict[str, Path]) -> None:
    retriever = ImageNodeRetriever(engine)
    by_image = retriever.retrieve(QueryBundle("", image_path=str(files["owl"])))
    assert by_image[0].node.node_id == "owl"
    vector = engine.vectors("fox")[0].tolist()
    assert retriever.retrieve(QueryBundle("ignored", embedding=vector))[0].node.node_id == "fox"


def test_a_query_is_a_path_or_an_id_if_told(engine: SearchEngine, files: dict[str, Path]) -> None:
    assert ImageNodeRetriever(engine, query_kind="id").retrieve("owl")[0].node.node_id == "owl"
    by_path = ImageNodeRetriever(engine, query_kind="path")
    assert by_path.retrieve(str(files["fox"]))[0].node.node_id == "fox"


def test_files_that_are_no_images_and_addresses_are_not_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"a password")
    engine = SearchEngine(WordEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    places = {"a": str(secret), "b": "http://127.0.0.1:9/cat.png", "c": str(tmp_path), "d": None}
    engine.add_many(Item(picture(id), id=id, uri=uri) for id, uri in places.items())
    nodes = [found.node for found in ImageNodeRetriever(engine).retrieve("a")]
    assert len(nodes) == 4
    for node in nodes:
        assert isinstance(node, ImageNode)
        assert (node.image_path, node.image_url) == (None, None)
        assert node.metadata["path"] == places[node.node_id]


def test_a_query_engine_answers_from_captions(
    engine: SearchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise LlamaIndex looks for a client of OpenAI.
    monkeypatch.setattr(Settings, "_llm", MockLLM())
    retriever = ImageNodeRetriever(engine, similarity_top_k=1, content_field="caption")
    answers = RetrieverQueryEngine.from_args(retriever, response_mode=ResponseMode.NO_TEXT)
    response = answers.query("pet")
    assert [found.node.get_content() for found in response.source_nodes] == ["a cat"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": "album"},
        {"similarity_top_k": 0},
        {"query_kind": "url"},
        {"model": 3},
        {"filter": {"a": 1}},
        {"content_field": ""},
    ],
)
def test_wrong_arguments_are_refused_at_once(engine: SearchEngine, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        ImageNodeRetriever(**{"engine": engine, **wrong})


def test_images_and_words_are_in_one_space(files: dict[str, Path]) -> None:
    embedding = ImageSearchEmbedding(WordEmbedder(), embed_batch_size=2)
    cat = embedding.get_text_embedding("cat")
    assert embedding.get_query_embedding("cat") == cat
    assert embedding.get_image_embedding(str(files["cat"])) == cat
    assert embedding.get_image_embedding(BytesIO(picture_bytes("cat"))) == cat
    paths = [str(path) for path in files.values()]
    rows = embedding.get_image_embedding_batch(paths)
    assert rows == [embedding.get_text_embedding(name) for name in files]

    async def later() -> list[Any]:
        return [
            await embedding.aget_text_embedding("cat"),
            await embedding.aget_query_embedding("cat"),
            await embedding.aget_image_embedding(paths[0]),
            *await embedding.aget_image_embedding_batch(paths),
            *await embedding.aget_text_embedding_batch(list(files)),
        ]

    assert asyncio.run(later()) == [cat, cat, cat, *rows, *rows]


def test_batches_reach_the_model(files: dict[str, Path]) -> None:
    model = WordEmbedder()
    embedding = ImageSearchEmbedding(model, embed_batch_size=3)
    embedding.get_image_embedding_batch([str(path) for path in files.values()])
    # Batches are divided among the cores.
    assert sum(model.calls.batches) == len(files) == 4
    assert max(model.calls.batches) <= 3


def test_an_embedding_is_a_transformation() -> None:
    embedding = ImageSearchEmbedding(WordEmbedder())
    (node,) = IngestionPipeline(transformations=[embedding]).run(nodes=[TextNode(text="cat")])
    assert node.embedding == embedding.get_text_embedding("cat")
    assert embedding.to_dict()["model_name"] == "words"
    # What LlamaIndex keys its cache with.
    other = ImageSearchEmbedding(FakeEmbedder("words"))
    assert embedding.to_dict() != other.to_dict()


def test_a_model_without_words_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match="text tower"):
        ImageSearchEmbedding(FakeEmbedder()).get_text_embedding("cat")
    wrong: Any = "efficientnet-lite2"
    with pytest.raises(InvalidArgumentError, match="embedder"):
        ImageSearchEmbedding(wrong)
