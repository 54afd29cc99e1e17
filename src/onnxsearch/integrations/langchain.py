"""LangChain: a retriever of images, and embeddings of texts and images.

Needs the extra `[langchain]`. Every class passes the tests of `langchain-tests`.
"""

from __future__ import annotations

# pyright: reportMissingImports=false
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from onnxsearch._internal.validation import instance, integer
from onnxsearch.embedders.base import Embedder
from onnxsearch.engine import SearchEngine
from onnxsearch.errors import MissingExtraError
from onnxsearch.filters import Filter
from onnxsearch.integrations.queries import QueryKind, as_query, hit_fields, hit_text
from onnxsearch.integrations.vectors import image_rows, text_rows

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables.config import run_in_executor
    from pydantic import Field
except ImportError as error:
    raise MissingExtraError.for_package("langchain-core", extra="langchain") from error

if TYPE_CHECKING:
    from langchain_core.callbacks.manager import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )

    from onnxsearch.types import Hit, ImageInput

__all__ = ["ImageSearchEmbeddings", "ImageSearchRetriever"]


class ImageSearchRetriever(BaseRetriever):
    """Retriever whose documents are the images of an engine, nearest first.

    A document has the image's id as its `id`, and in its `metadata` those of the image with
    `id`, `path`, `distance`, `score`, `similarity` and `model`. Image files are not opened.

    Example:
        >>> retriever = ImageSearchRetriever(engine=engine, k=3, content_field="caption")
        >>> retriever.invoke("a red bicycle")[0].metadata["path"]
        '/home/ada/Pictures/bicycle.jpg'
    """

    engine: SearchEngine
    """The engine. It belongs to the caller, who closes it."""
    k: int = Field(default=4, ge=1)
    """Number of documents, as the `k` of LangChain's vector stores. `invoke` takes another one."""
    query_kind: QueryKind = "words"
    """What the text of a query is: `words`, which needs a model with a text tower; the `id` of
    a stored image; or the `path` of an image file. With `path`, a query may open any image that
    this process may read."""
    model: str | None = None
    """Name of the model to search with; by default the engine's first one."""
    filter: Filter | None = None
    """Keeps only images whose metadata match. `invoke` takes another one."""
    min_score: float | None = None
    """Keeps only images whose score is not lower."""
    content_field: str | None = None
    """The metadata field whose text becomes the content of a document, such as a caption. By
    default, and where an image has no such text, its id."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,
    ) -> list[Document]:
        hits = self.engine.search(
            as_query(query, self.query_kind),
            model=self.model,
            limit=self.k if k is None else integer("k", k, least=1),
            filter=self.filter if filter is None else filter,
            min_score=self.min_score,
        )
        return [self._document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Filter | None = None,
    ) -> list[Document]:
        # The one of the base class knows neither k nor filter.
        find = partial(
            self._get_relevant_documents,
            query,
            run_manager=run_manager.get_sync(),
            k=k,
            filter=filter,
        )
        documents: list[Document] = await run_in_executor(None, find)
        return documents

    def _document(self, hit: Hit) -> Document:
        content = hit_text(hit, self.content_field)
        return Document(hit.id if content is None else content, id=hit.id, metadata=hit_fields(hit))


class ImageSearchEmbeddings(Embeddings):
    """Embeddings of texts and of images in one space, from a model with a text tower.

    Vector stores of LangChain that take images call `embed_image`.

    Args:
        embedder: The model. One without a text tower embeds images only.

    Raises:
        InvalidArgumentError: `embedder` is not an `Embedder`; or, of the methods for texts, it
            has no text tower.

    Example:
        >>> embeddings = ImageSearchEmbeddings(OnnxEmbedder.hub("siglip2-base"))
        >>> len(embeddings.embed_query("a red bicycle"))
        768
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = instance("embedder", embedder, Embedder, "an Embedder")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts; of `Metric.HAMMING` the bits as 0.0 and 1.0."""
        return text_rows(self.embedder, texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text, in the same space as `embed_documents`."""
        return self.embed_documents([text])[0]

    def embed_image(self, uris: Sequence[ImageInput]) -> list[list[float]]:
        """Return the vectors of images.

        Args:
            uris: Paths of images, or images in any form that `Embedder.embed` takes. Nothing is
                downloaded.

        Raises:
            ImageError: An image cannot be used.
        """
        return image_rows(self.embedder, uris)

    async def aembed_image(self, uris: Sequence[ImageInput]) -> list[list[float]]:
        """Return what `embed_image` returns, without blocking the event loop."""
        rows: list[list[float]] = await run_in_executor(None, self.embed_image, uris)
        return rows
