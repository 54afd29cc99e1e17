"""Haystack: components in pipelines, written to YAML and read back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="haystack-ai is for `nox -s frameworks`")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream
from haystack.utils import Secret

from onnxsearch import ImageError, InvalidArgumentError, SearchEngine
from onnxsearch.integrations.haystack import (
    ImageDocumentRetriever,
    ImageSearchDocumentEmbedder,
    ImageSearchTextEmbedder,
)
from onnxsearch.testing import FakeEmbedder, picture_bytes
from tests.integrations.words import WordEmbedder

ALLOWED = ["onnxsearch.integrations.haystack"]


def read_back(pipeline: Pipeline) -> Pipeline:
    return Pipeline.loads(pipeline.dumps(), allowed_modules=ALLOWED)


def test_documents_are_the_images(engine: SearchEngine, files: dict[str, Path]) -> None:
    retriever = ImageDocumentRetriever(engine, top_k=2, content_field="caption")
    first, second = retriever.run("pet")["documents"]
    assert (first.id, first.content, second.id) == ("cat", "a cat", "dog")
    assert first.score == engine.search(text="pet")[0].score
    assert first.meta["file_path"] == first.meta["path"] == str(files["cat"])
    assert (first.meta["model"], first.meta["number"]) == ("words", 0)
    assert ImageDocumentRetriever(engine).run("pet", top_k=1)["documents"][0].content is None


def test_a_file_that_is_no_image_is_not_named(engine: SearchEngine, files: dict[str, Path]) -> None:
    files["cat"].write_bytes(b"a password")
    (found,) = ImageDocumentRetriever(engine).run("pet", top_k=1)["documents"]
    assert "file_path" not in found.meta


def test_filters_are_those_of_haystack(engine: SearchEngine) -> None:
    late = {"field": "meta.number", "operator": ">", "value": 1}
    retriever = ImageDocumentRetriever(engine, filters=late)
    found = {document.id for document in retriever.run("pet")["documents"]}
    assert found == {"fox", "owl"}
    first = {"field": "meta.number", "operator": "==", "value": 0}
    assert [d.id for d in retriever.run("pet", filters=first)["documents"]] == ["cat"]
    assert len(retriever.run("pet", filters={})["documents"]) == 4


def test_words_become_a_vector_in_a_pipeline(engine: SearchEngine) -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", ImageSearchTextEmbedder(WordEmbedder()))
    pipeline.add_component("retriever", ImageDocumentRetriever(engine))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    found = pipeline.run({"embedder": {"text": "pet"}})["retriever"]["documents"]
    assert found[0].id == "cat"
    later = asyncio.run(pipeline.run_async({"embedder": {"text": "pet"}}))
    assert later["retriever"]["documents"] == found


def test_a_pipeline_is_read_back(album: Path, tmp_path: Path) -> None:
    with SearchEngine.open(tmp_path / "index") as engine:
        paths = sorted(album.rglob("*.jpg"))[:3]
        engine.index(paths)
    pipeline = Pipeline()
    retriever = ImageDocumentRetriever(tmp_path / "index", query_kind="path", top_k=2)
    pipeline.add_component("retriever", retriever)
    again = read_back(pipeline)
    found = again.run({"retriever": {"query": str(paths[1])}})["retriever"]["documents"]
    assert len(found) == 2
    assert found[0].meta["path"] == str(paths[1])
    again.close()
    # Its engine is closed, so that another one may open the stores and remove the file.
    assert again.get_component("retriever").to_dict() == retriever.to_dict()


def test_images_are_embedded_in_a_pipeline(engine: SearchEngine, files: dict[str, Path]) -> None:
    model = WordEmbedder()
    documents = [
        Document(id="blob", blob=ByteStream(picture_bytes("cat"), mime_type="image/png")),
        Document(id="file", meta={"file_path": str(files["dog"])}),
    ]
    pipeline = Pipeline()
    pipeline.add_component("embedder", ImageSearchDocumentEmbedder(model))
    result = pipeline.run({"embedder": {"documents": documents}})["embedder"]["documents"]
    assert [document.embedding for document in result] == model.embed_text(["cat", "dog"]).tolist()
    assert [document.id for document in result] == ["blob", "file"]
    assert documents[0].embedding is None
    retriever = ImageDocumentRetriever(engine)
    assert retriever.run(query_embedding=result[1].embedding)["documents"][0].id == "dog"


def test_embedders_are_read_back(files: dict[str, Path]) -> None:
    pipeline = Pipeline()
    folder = files["cat"].parent
    made = ImageSearchDocumentEmbedder("efficientnet-lite0", root_path=folder, batch_size=2)
    pipeline.add_component("embedder", made)
    pipeline.add_component("words", ImageSearchTextEmbedder("siglip2-base"))
    again = read_back(pipeline)
    assert again.to_dict() == pipeline.to_dict()
    embedder = again.get_component("embedder")
    documents = [Document(meta={"file_path": "cat.png"})]
    (embedded,) = embedder.run(documents)["documents"]
    assert embedded.embedding is not None
    assert len(embedded.embedding) == 1280
    embedder.close()
    assert embedder.run(documents)["documents"] == [embedded]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link.png"])
def test_files_outside_of_the_root_are_refused(files: dict[str, Path], path: str) -> None:
    folder = files["cat"].parent
    outside = folder.with_name("secret.png")
    outside.write_bytes(files["cat"].read_bytes())
    (folder / "link.png").symlink_to(outside)
    embedder = ImageSearchDocumentEmbedder(WordEmbedder(), root_path=folder)
    with pytest.raises(InvalidArgumentError, match="root_path"):
        embedder.run([Document(meta={"file_path": path})])


def test_documents_without_an_image_are_refused(tmp_path: Path) -> None:
    embedder = ImageSearchDocumentEmbedder(WordEmbedder())
    with pytest.raises(InvalidArgumentError, match="no image"):
        embedder.run([Document(content="words")])
    with pytest.raises(ImageError):
        embedder.run([Document(blob=ByteStream(b"no image"))])
    assert embedder.run([])["documents"] == []


def test_secrets_are_not_written(monkeypatch: pytest.MonkeyPatch, engine: SearchEngine) -> None:
    url = "redis://:hunter2@localhost:6379/0"
    for retriever in (
        ImageDocumentRetriever("http://milvus:19530", records=url),
        ImageDocumentRetriever("http://me:hunter2@milvus:19530"),
    ):
        with pytest.raises(InvalidArgumentError, match="password") as caught:
            retriever.to_dict()
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("RECORDS_URL", url)
    secret = Secret.from_env_var("RECORDS_URL")
    pipeline = Pipeline()
    pipeline.add_component("one", ImageDocumentRetriever("http://milvus:19530", records=secret))
    assert "hunter2" not in pipeline.dumps()
    assert read_back(pipeline).get_component("one").records == secret
    with pytest.raises(InvalidArgumentError, match="open engine"):
        ImageDocumentRetriever(engine).to_dict()
    with pytest.raises(InvalidArgumentError, match="embedder"):
        ImageSearchTextEmbedder(FakeEmbedder()).to_dict()


def test_wrong_arguments_are_refused_at_once(engine: SearchEngine) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("engine", {"engine": None}),
        ("top_k", {"top_k": 0}),
        ("query_kind", {"query_kind": "url"}),
        ("filters", {"filters": {"number": 3}}),
        ("model", {"model": 3}),
        ("content_field", {"content_field": ""}),
        ("records", {"records": 3}),
    ]
    for name, arguments in wrong:
        with pytest.raises(InvalidArgumentError, match=name):
            ImageDocumentRetriever(**{"engine": engine, **arguments})
    for both in ({}, {"query": "pet", "query_embedding": [1.0]}):
        with pytest.raises(InvalidArgumentError, match="exactly one"):
            ImageDocumentRetriever(engine).run(**both)
    with pytest.raises(InvalidArgumentError, match="text tower"):
        ImageSearchTextEmbedder(FakeEmbedder()).run("pet")
