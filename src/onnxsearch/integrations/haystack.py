"""Haystack: a component that retrieves images, and embedders of texts and images.

Needs the extra `[haystack]`. All components run in pipelines and can be written to YAML and
read back. Haystack loads classes from outside only if they are allowed:
`Pipeline.loads(text, allowed_modules=["onnxsearch.integrations.haystack"])`.
"""

from __future__ import annotations

# pyright: reportMissingImports=false
import asyncio
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from onnxsearch._internal.validation import (
    choice,
    instance,
    integer,
    optional,
    text as checked_text,
)
from onnxsearch.embedders.base import DEFAULT_BATCH, Embedder
from onnxsearch.engine import SearchEngine
from onnxsearch.errors import InvalidArgumentError, MissingExtraError, without_secrets
from onnxsearch.integrations.haystack_filters import HaystackFilters, as_filter
from onnxsearch.integrations.queries import (
    QUERY_KINDS,
    QueryKind,
    as_query,
    hit_fields,
    hit_text,
    image_path,
)
from onnxsearch.integrations.vectors import as_embedder, image_rows, text_rows
from onnxsearch.search.query import Query

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret
except ImportError as error:
    raise MissingExtraError.for_package("haystack-ai", extra="haystack") from error

if TYPE_CHECKING:
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import Hit, ImageInput

__all__ = ["ImageDocumentRetriever", "ImageSearchDocumentEmbedder", "ImageSearchTextEmbedder"]

_LOCATION = "a SearchEngine, or the location of one"


@component
class ImageDocumentRetriever:
    """Component that retrieves the images of an engine as documents, nearest first.

    A document has the image's id and score, and in its `meta` the metadata of the image with
    `id`, `path`, `distance`, `score`, `similarity` and `model`. If the image's file is there and
    is an image file, `file_path` names it, which Haystack's `DocumentToImageContent` opens.

    Args:
        engine: An open engine, which belongs to the caller; or its location, as for
            `SearchEngine.open`, which `warm_up` opens and `close` closes. Only with a location
            can the component be written to YAML.
        records: With a location: where the records are, as for `SearchEngine.open`. A URL with a
            password is given as a `Secret`, which YAML holds as the name of a variable.
        top_k: Number of documents, at least 1.
        filters: Keeps only images whose metadata match, in Haystack's form.
        query_kind: What a query is: `words`, which needs a model with a text tower; the `id` of
            a stored image; or the `path` of an image file. With `path`, a query may open any
            image that this process may read.
        model: Name of the model to search with; by default the engine's first one.
        content_field: The metadata field whose text becomes the content of a document, such as a
            caption. By default, and where an image has no such text, there is no content.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.

    Example:
        >>> pipeline = Pipeline()
        >>> pipeline.add_component("retriever", ImageDocumentRetriever("album", top_k=3))
        >>> found = pipeline.run({"retriever": {"query": "a red bicycle"}})
        >>> found["retriever"]["documents"][0].meta["file_path"]
        '/home/ada/Pictures/bicycle.jpg'
    """

    def __init__(
        self,
        engine: SearchEngine | str | os.PathLike[str],
        *,
        records: str | Secret | None = None,
        top_k: int = 10,
        filters: HaystackFilters | None = None,
        query_kind: QueryKind = "words",
        model: str | None = None,
        content_field: str | None = None,
    ) -> None:
        self.engine = instance("engine", engine, (SearchEngine, str, os.PathLike), _LOCATION)
        if records is not None:
            instance("records", records, (str, Secret), "a path or URL, or a Secret that holds one")
        self.records = records
        self.top_k = integer("top_k", top_k, least=1)
        self.filters = filters
        self.query_kind = choice("query_kind", query_kind, QUERY_KINDS)
        self.model = optional(checked_text, "model", model)
        self.content_field = optional(checked_text, "content_field", content_field)
        self._filter = as_filter(filters)
        self._opened: SearchEngine | None = None

    def warm_up(self) -> None:
        """Open the engine if a location was given; a second call does nothing.

        Raises:
            OnnxSearchError: It cannot be opened.
        """
        self._ready()

    def close(self) -> None:
        """Close the engine that `warm_up` opened; a second call does nothing."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a dictionary.

        Raises:
            InvalidArgumentError: An open engine was given, or an address holds a password.
        """
        if isinstance(self.engine, SearchEngine):
            raise InvalidArgumentError(
                "engine is an open engine, which no text can hold: expected its location"
            )
        written: dict[str, Any] = default_to_dict(
            self,
            engine=_without_password("engine", os.fspath(self.engine)),
            records=_written_records(self.records),
            top_k=self.top_k,
            filters=self.filters,
            query_kind=self.query_kind,
            model=self.model,
            content_field=self.content_field,
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that a dictionary of `to_dict` describes."""
        made: Self = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        top_k: int | None = None,
        filters: dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Return the nearest images as documents.

        Args:
            query: The text of the query.
            query_embedding: Instead of a text, the vector of one, from
                `ImageSearchTextEmbedder`.
            top_k: Number of documents; by default that of the component.
            filters: Used instead of the component's own ones.

        Raises:
            InvalidArgumentError: Not exactly one of `query` and `query_embedding` is given, or an
                argument has a wrong type or value.
        """
        hits = self._ready().search(
            self._query(query, query_embedding),
            model=self.model,
            limit=self.top_k if top_k is None else integer("top_k", top_k, least=1),
            filter=self._filter if filters is None else as_filter(filters),
        )
        return {"documents": [self._document(hit) for hit in hits]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str | None = None,
        query_embedding: list[float] | None = None,
        top_k: int | None = None,
        filters: dict[str, Any] | None = None,
    ) -> dict[str, list[Document]]:
        """Return what `run` returns, without blocking the event loop."""
        return await asyncio.to_thread(self.run, query, query_embedding, top_k, filters)

    def _ready(self) -> SearchEngine:
        if isinstance(self.engine, SearchEngine):
            return self.engine
        if self._opened is None:
            records: Any = self.records
            if isinstance(records, Secret):
                records = records.resolve_value()
            self._opened = SearchEngine.open(self.engine, records=records)
        return self._opened

    def _query(self, query: str | None, embedding: list[float] | None) -> QueryInput:
        if query is not None and embedding is None:
            return as_query(query, self.query_kind)
        if embedding is not None and query is None:
            return Query.vector(embedding)
        raise InvalidArgumentError("expected exactly one of query and query_embedding")

    def _document(self, hit: Hit) -> Document:
        path = image_path(hit)
        return Document(
            id=hit.id,
            content=hit_text(hit, self.content_field),
            meta=hit_fields(hit) | ({} if path is None else {"file_path": path}),
            score=hit.score,
        )


class _LoadsModel:
    """What components have in common that embed with a model."""

    model: Embedder | str | os.PathLike[str]

    @cached_property
    def _embedder(self) -> Embedder:
        return as_embedder(self.model)

    def warm_up(self) -> None:
        """Load the model; a second call does nothing.

        Raises:
            ModelError: It cannot be used.
        """
        _ = self._embedder

    def close(self) -> None:
        """Release the memory of a model that the component loaded; the next run loads it again."""
        if not isinstance(self.model, Embedder):
            loaded = vars(self).pop("_embedder", None)
            if loaded is not None:
                loaded.close()


@component
class ImageSearchTextEmbedder(_LoadsModel):
    """Component that embeds a text for `ImageDocumentRetriever` or any other retriever.

    Args:
        model: An embedder with a text tower; or its name, as `onnxsearch models list` shows it;
            or an `.onnx` file. Only by name or file can the component be written to YAML.

    Raises:
        InvalidArgumentError: `model` is none of these; or, when it runs, it has no text tower.

    Example:
        >>> ImageSearchTextEmbedder("siglip2-base").run("a red bicycle")["embedding"][:2]
        [0.0131, -0.0244]
    """

    def __init__(self, model: Embedder | str | os.PathLike[str]) -> None:
        self.model = _checked_model(model)

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a dictionary.

        Raises:
            InvalidArgumentError: `model` was given as an object.
        """
        written: dict[str, Any] = default_to_dict(self, model=_written_model(self.model))
        return written

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Return the vector of a text."""
        return {"embedding": text_rows(self._embedder, [text])[0]}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """Return what `run` returns, without blocking the event loop."""
        return await asyncio.to_thread(self.run, text)


@component
class ImageSearchDocumentEmbedder(_LoadsModel):
    """Component that embeds the images of documents.

    The image of a document is its `blob`, or else the file that its metadata name.

    Args:
        model: An embedder; or its name, as `onnxsearch models list` shows it; or an `.onnx`
            file. By default the bundled model. Only by name or file can the component be written
            to YAML.
        file_path_meta_field: The metadata field that names the file.
        root_path: A folder. Paths are relative to it, and files outside of it are refused: give
            it if documents come from others.
        batch_size: Images per run of the model, at least 1.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.

    Example:
        >>> documents = [Document(meta={"file_path": "bicycle.jpg"})]
        >>> ImageSearchDocumentEmbedder().run(documents)["documents"][0].embedding[:2]
        [0.0131, -0.0244]
    """

    def __init__(
        self,
        model: Embedder | str | os.PathLike[str] = "efficientnet-lite2",
        *,
        file_path_meta_field: str = "file_path",
        root_path: str | os.PathLike[str] | None = None,
        batch_size: int = DEFAULT_BATCH,
    ) -> None:
        self.model = _checked_model(model)
        self.file_path_meta_field = checked_text("file_path_meta_field", file_path_meta_field)
        self.root_path = None if root_path is None else os.fspath(root_path)
        self.batch_size = integer("batch_size", batch_size, least=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a dictionary.

        Raises:
            InvalidArgumentError: `model` was given as an object.
        """
        written: dict[str, Any] = default_to_dict(
            self,
            model=_written_model(self.model),
            file_path_meta_field=self.file_path_meta_field,
            root_path=self.root_path,
            batch_size=self.batch_size,
        )
        return written

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Return copies of the documents with the vectors of their images.

        Raises:
            InvalidArgumentError: A document has no image, or names a file outside of `root_path`.
            ImageError: An image cannot be used.
        """
        images = [self._image(document) for document in documents]
        rows = image_rows(self._embedder, images, self.batch_size)
        pairs = zip(documents, rows, strict=True)
        return {"documents": [replace(document, embedding=row) for document, row in pairs]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Return what `run` returns, without blocking the event loop."""
        return await asyncio.to_thread(self.run, documents)

    def _image(self, document: Document) -> ImageInput:
        if document.blob is not None:
            data: bytes = document.blob.data
            return data
        named = document.meta.get(self.file_path_meta_field)
        if not isinstance(named, str | os.PathLike):
            raise InvalidArgumentError(
                f"document {document.id!r:.80} has no image: expected a blob, or the path of a "
                f"file in the metadata field {self.file_path_meta_field!r}"
            )
        if self.root_path is None:
            return Path(named)
        root = Path(self.root_path).resolve()
        path = (root / named).resolve()
        if not path.is_relative_to(root):
            raise InvalidArgumentError(
                f"document {document.id!r:.80} names {str(named)!r:.200}: expected a file in the "
                "folder root_path"
            )
        return path


def _checked_model(model: Embedder | str | os.PathLike[str]) -> Embedder | str | os.PathLike[str]:
    expected = "an Embedder, the name of a model, or the path of an .onnx file"
    return instance("model", model, (Embedder, str, os.PathLike), expected)


def _written_model(model: Embedder | str | os.PathLike[str]) -> str:
    if isinstance(model, Embedder):
        raise InvalidArgumentError(
            "model is an embedder, which no text can hold: expected its name or its file"
        )
    return os.fspath(model)


def _written_records(records: str | Secret | None) -> str | dict[str, Any] | None:
    if isinstance(records, Secret):
        secret: dict[str, Any] = records.to_dict()
        return secret
    return None if records is None else _without_password("records", records)


def _without_password(name: str, address: str) -> str:
    if without_secrets(address) != address:
        raise InvalidArgumentError(
            f"{name} {without_secrets(address)!r} holds a password, which would be written as "
            "text: expected an address without one, or for records Secret.from_env_var('...')"
        )
    return address
