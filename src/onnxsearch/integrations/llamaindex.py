"""LlamaIndex: a retriever of image nodes, and embeddings of texts and images.

Needs the extra `[llamaindex]`.
"""

from __future__ import annotations

# pyright: reportMissingImports=false
import asyncio
from typing import TYPE_CHECKING

from onnxsearch._internal.validation import choice, instance, integer, optional, text
from onnxsearch.embedders.base import Embedder
from onnxsearch.engine import SearchEngine
from onnxsearch.errors import MissingExtraError
from onnxsearch.filters import Filter, check_filter
from onnxsearch.integrations.queries import (
    QUERY_KINDS,
    QueryKind,
    as_query,
    hit_fields,
    hit_text,
    image_path,
)
from onnxsearch.integrations.vectors import image_rows, text_rows
from onnxsearch.search.query import Query

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.embeddings import MultiModalEmbedding
    from llama_index.core.schema import ImageNode, NodeWithScore
except ImportError as error:
    raise MissingExtraError.for_package("llama-index-core", extra="llamaindex") from error

if TYPE_CHECKING:
    from llama_index.core.schema import ImageType, QueryBundle

    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import Hit

__all__ = ["ImageNodeRetriever", "ImageSearchEmbedding"]


class ImageNodeRetriever(BaseRetriever):
    """Retriever whose nodes are the images of an engine, nearest first.

    A node has the image's id, its score, and in its `metadata` those of the image with `id`,
    `path`, `distance`, `score`, `similarity` and `model`. Its `image_path` is set if the file is
    there and is an image file. An image from an address has the address in its metadata only, so
    that LlamaIndex does not fetch it.

    A query with an embedding searches for this vector, one with an `image_path` for this image,
    and any other one for its text.

    Args:
        engine: The engine. It belongs to the caller, who closes it.
        similarity_top_k: Number of nodes, at least 1.
        query_kind: What the text of a query is: `words`, which needs a model with a text tower;
            the `id` of a stored image; or the `path` of an image file. With `path`, a query may
            open any image that this process may read.
        model: Name of the model to search with; by default the engine's first one.
        filter: Keeps only images whose metadata match.
        content_field: The metadata field whose text becomes the text of a node, such as a
            caption. By default, and where an image has no such text, it is empty.
        callback_manager: Receives LlamaIndex's events.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.

    Example:
        >>> retriever = ImageNodeRetriever(engine, similarity_top_k=3)
        >>> retriever.retrieve("a red bicycle")[0].node.image_path
        '/home/ada/Pictures/bicycle.jpg'
    """

    def __init__(
        self,
        engine: SearchEngine,
        *,
        similarity_top_k: int = 4,
        query_kind: QueryKind = "words",
        model: str | None = None,
        filter: Filter | None = None,
        content_field: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._engine = instance("engine", engine, SearchEngine, "a SearchEngine")
        self._limit = integer("similarity_top_k", similarity_top_k, least=1)
        self._kind: QueryKind = choice("query_kind", query_kind, QUERY_KINDS)
        self._model = optional(text, "model", model)
        if filter is not None:
            check_filter(filter)
        self._filter = filter
        self._content_field = optional(text, "content_field", content_field)
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._engine.search(
            self._query(query_bundle),
            model=self._model,
            limit=self._limit,
            filter=self._filter,
        )
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _query(self, bundle: QueryBundle) -> QueryInput:
        if bundle.embedding is not None:
            return Query.vector(bundle.embedding)
        if bundle.image_path is not None:
            return as_query(bundle.image_path, "path")
        return as_query(bundle.query_str, self._kind)

    def _node(self, hit: Hit) -> ImageNode:
        return ImageNode(
            id_=hit.id,
            text=hit_text(hit, self._content_field) or "",
            image_path=image_path(hit),
            metadata=hit_fields(hit),
        )


class ImageSearchEmbedding(MultiModalEmbedding):
    """Embedding of texts and of images in one space, from a model with a text tower.

    Args:
        embedder: The model. One without a text tower embeds images only.
        embed_batch_size: Images or texts per run of the model, by default 10.
        callback_manager: Receives LlamaIndex's events.

    Raises:
        InvalidArgumentError: `embedder` is not an `Embedder`; or, of the methods for texts, it
            has no text tower.

    Example:
        >>> embedding = ImageSearchEmbedding(OnnxEmbedder.hub("siglip2-base"))
        >>> len(embedding.get_image_embedding("bicycle.jpg"))
        768
    """

    fingerprint: str = ""
    """Identifies the vector space, so that LlamaIndex's caches do not mix two models."""

    _embedder: Embedder = PrivateAttr()

    def __init__(
        self,
        embedder: Embedder,
        *,
        embed_batch_size: int = 10,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        instance("embedder", embedder, Embedder, "an Embedder")
        super().__init__(
            model_name=embedder.name,
            embed_batch_size=embed_batch_size,
            callback_manager=callback_manager or CallbackManager([]),
        )
        self.fingerprint = embedder.fingerprint
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex writes the class."""
        return "ImageSearchEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return text_rows(self._embedder, texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[list[float]]:
        return image_rows(self._embedder, img_file_paths, self.embed_batch_size)

    def _get_image_embedding(self, img_file_path: ImageType) -> list[float]:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_image_embeddings(self, img_file_paths: list[ImageType]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_image_embeddings, img_file_paths)

    async def _aget_image_embedding(self, img_file_path: ImageType) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)
