"""What all parts of the engine share: its models, its stores, and whether it is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.process import HomeProcess
from onnxsearch._internal.validation import check_name, integer
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.base import Embedder
from onnxsearch.errors import ClosedError, InvalidArgumentError, UnknownModelError
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy, open_image
from onnxsearch.indexing.backfill import whereabouts
from onnxsearch.search.query_encoder import QueryEncoder
from onnxsearch.search.retriever import Retriever
from onnxsearch.types import ImageInput
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.metadata.base import MetadataStore
    from onnxsearch.vectors.base import Vectors, VectorStore


DEFAULT_NAMESPACE = "onnxsearch"


class EngineBase(Closeable):
    """Holds the models and the stores."""

    def __init__(
        self,
        embedders: Embedder | Sequence[Embedder],
        vectors: VectorStore,
        metadata: MetadataStore,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        workers: int | None = None,
        batch_size: int = 4,
        reading: ReadPolicy = READ_STRICTLY,
    ) -> None:
        self._embedders = _by_name(embedders)
        self._workers = (
            available_cores() if workers is None else integer("workers", workers, least=1)
        )
        self._batch_size = integer("batch_size", batch_size, least=1)
        self._reading = reading
        self._catalog = Catalog(vectors, metadata, namespace)
        self._retrieval = Retriever(self._catalog, vectors)
        self._reader = QueryEncoder(self._catalog, vectors, reading)
        self._owned: list[Embedder | VectorStore | MetadataStore] = []
        self._closed = False
        self._process = HomeProcess()
        # First, since it may end what drops one of these collections.
        self._catalog.recover()
        self._ensure_collections()

    @property
    def models(self) -> list[str]:
        """Names of the models, the default one first."""
        return list(self._embedders)

    def close(self) -> None:
        """Release what `open` made; closing twice is harmless.

        Do not close while another thread is using the engine.
        """
        self._closed = True
        owned, self._owned = self._owned, []
        close_all(owned)

    def _embed(self, embedder: Embedder, images: Iterable[ImageInput]) -> Vectors:
        opened = (open_image(image, self._reading) for image in images)
        return embedder.embed(opened, batch_size=self._batch_size)

    def _ensure_collections(self) -> None:
        for embedder in self._embedders.values():
            self._ensure_collection(embedder)

    def _ensure_collection(self, embedder: Embedder) -> None:
        self._catalog.vectors.ensure_collection(
            CollectionSpec(
                name=self._catalog.collection(embedder.name),
                dimension=embedder.dimension,
                fingerprint=embedder.fingerprint,
                metric=embedder.metric,
            )
        )

    def _add_model(self, embedder: Embedder, *, after: str) -> None:
        self._ensure_collection(embedder)
        models = list(self._embedders.values())
        place = next((n for n, each in enumerate(models, 1) if each.name == after), len(models))
        # One assignment, since other threads are searching.
        self._embedders = _by_name([*models[:place], embedder, *models[place:]])

    def _embedder(self, model: str | None) -> Embedder:
        if model is None:
            return next(iter(self._embedders.values()))
        if model not in self._embedders:
            raise UnknownModelError(
                f"there is no model {model!r} here: expected one of {', '.join(self._embedders)}"
                f"{whereabouts(self._catalog, model)}"
            )
        return self._embedders[model]

    def _several(self, models: Sequence[str] | None) -> list[Embedder]:
        names = list(self._embedders) if models is None else list(models)
        if isinstance(models, str) or not names or len(set(names)) < len(names):
            raise InvalidArgumentError(
                f"models={models!r}: expected a list of different names out of "
                f"{', '.join(self._embedders)}"
            )
        return [self._embedder(name) for name in names]

    def _check_open(self) -> None:
        self._process.check("this engine")
        if self._closed:
            raise ClosedError("this engine was closed: open a new one")

    def __repr__(self) -> str:
        return f"<SearchEngine {', '.join(self._embedders)}{', closed' if self._closed else ''}>"


def _by_name(embedders: Embedder | Sequence[Embedder]) -> dict[str, Embedder]:
    sequence = [embedders] if isinstance(embedders, Embedder) else list(embedders)
    if not sequence:
        raise InvalidArgumentError("no embedder was given: expected at least one")
    by_name = {check_name(embedder.name): embedder for embedder in sequence}
    if len(by_name) < len(sequence):
        raise InvalidArgumentError(
            f"two embedders have the same name ({', '.join(e.name for e in sequence)}): give each "
            "its own, as in OnnxEmbedder(path, name='mine')"
        )
    return by_name


def close_all(owned: Iterable[Embedder | VectorStore | MetadataStore]) -> None:
    """Close what the engine made for itself."""
    for thing in owned:
        thing.close()
