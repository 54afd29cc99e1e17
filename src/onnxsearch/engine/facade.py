"""The facade: embedders, a vector store and a metadata store as one search engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.threads import batched
from onnxsearch.catalog.catalog import NewImage
from onnxsearch.catalog.serialization import check_id, check_metadata
from onnxsearch.embedders.base import Embedder
from onnxsearch.engine.base import DEFAULT_NAMESPACE, close_all
from onnxsearch.engine.changing_models import ChangingModels
from onnxsearch.engine.judging import Judging
from onnxsearch.engine.searching import Searching
from onnxsearch.engine.upkeep import Upkeep
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy, open_image
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.pipeline import Pipeline
from onnxsearch.types import ImageInput, IndexReport, Metadata, Record

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.indexing.change_detection import MetadataSource
    from onnxsearch.metadata.base import MetadataStore
    from onnxsearch.vectors.base import VectorStore


class SearchEngine(Searching, Judging, ChangingModels, Upkeep):
    """Finds similar pictures.

    Pictures are embedded by every embedder; their vectors lie in `vectors`, one
    collection per model, and their records in `metadata`. All methods may be called
    from several threads at once. Writes that a crash interrupted are finished when
    an engine is made.

    The embedders and stores stay the caller's: `close` leaves them open, so that
    engines can share them. `SearchEngine.open` makes its own, and closes them.

    Args:
        embedders: One or several, of different names. The first is the one that
            searches where no model is named.
        vectors: Holds the vectors.
        metadata: Holds the records.
        namespace: Keeps engines in the same stores apart: a letter, then letters,
            digits and single underscores.
        workers: Threads that decode and embed in bulk; by default one per core that
            this process may use.
        batch_size: Pictures that a worker embeds at once. 4 is as fast as any on a
            CPU and keeps memory small; a GPU wants 32 or more.
        reading: How picture files are opened: what is too large, what too damaged.

    Raises:
        InvalidArgumentError: No embedder, or two of one name, or an argument is not
            as said.
        SpaceMismatchError: A collection was filled by another model, profile, output
            or dimension.
        StoreError: A store failed.

    Example:
        >>> engine = SearchEngine(
        ...     embedders=[OnnxEmbedder("resnet50.onnx", profile="keras-caffe")],
        ...     vectors=MilvusVectorStore("http://localhost:19530"),
        ...     metadata=RedisMetadataStore("redis://localhost:6379/0"),
        ... )
    """

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        embedders: Embedder | Sequence[Embedder] | None = None,
        metadata: str | os.PathLike[str] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        workers: int | None = None,
        batch_size: int = 4,
        reading: ReadPolicy = READ_STRICTLY,
    ) -> Self:
        """Open the engine at `location`, and make one if there is none.

        Args:
            location: A folder (embedded stores, made if need be), `x.db` (Milvus
                Lite) or `http(s)://host:port` (a Milvus server).
            embedders: By default the bundled EfficientNet-Lite2, with 1280
                dimensions.
            metadata: A `redis://`, `rediss://` or `unix://` URL, or the path of an
                SQLite file. By default SQLite beside the vectors.
            namespace: Keeps engines at the same location apart.
            workers: See `SearchEngine`.
            batch_size: See `SearchEngine`.
            reading: See `SearchEngine`.

        Raises:
            InvalidArgumentError: The location is none of these, or a server was
                named without `metadata`.
            StoreUnavailableError: A server cannot be reached.
            StoreLockedError: Another process holds the Milvus Lite file.
            SpaceMismatchError: It was filled by another model.

        Example:
            >>> with SearchEngine.open("album") as engine:
            ...     engine.index("~/Pictures", progress=True)
            ...     engine.search("query.jpg", limit=5)
        """
        from onnxsearch.locations import default_embedder, open_stores

        owned: list[Embedder | VectorStore | MetadataStore] = []
        try:
            if embedders is None:
                embedders = default_embedder()
                owned.append(embedders)
            stores = open_stores(location, metadata)
            owned += stores
            engine = cls(
                embedders,
                *stores,
                namespace=namespace,
                workers=workers,
                batch_size=batch_size,
                reading=reading,
            )
        except BaseException:
            close_all(owned)
            raise
        engine._owned = owned
        return engine

    def index(
        self,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        metadata: MetadataSource = None,
        progress: ProgressSink = False,
        prune: bool = False,
    ) -> IndexReport:
        """Index files; tell of each what became of it.

        Files that are stored already and have not changed are passed over, so a run
        that was stopped goes on where it ended. No file stops the run. A file that
        is byte for byte the same as another one is not stored again.

        Args:
            source: A folder (with all below it), a file, or an iterable of files.
                A file's id is its absolute path.
            metadata: Metadata for all files, or a function from `Path` to a file's, of
                1 MiB as JSON at most. None leaves what is stored of it.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each file.
            prune: Also remove pictures whose file under the folder is gone.

        Returns:
            A report with one outcome per file, in the order they were met.

        Raises:
            ImageNotFoundError: There is no such folder or file.
            EmptySourceError: The folder holds no file.
            InvalidArgumentError: An argument is not as said.
            StoreError: A store failed; what was stored until then stays.

        Example:
            >>> report = engine.index("~/Pictures")
            >>> report.counts["indexed"], report.failures
        """
        self._check_open()
        pipeline = Pipeline(
            self._catalog,
            list(self._embedders.values()),
            self._workers,
            self._batch_size,
            self._reading,
        )
        return pipeline.run(read_source(source), metadata, progress, prune=prune)

    def add(
        self, image: ImageInput, *, id: str | None = None, metadata: Metadata | None = None
    ) -> str:
        """Store one picture, in place of what its id held before; return the id.

        When this returns, the picture is found, also after a crash.

        Args:
            image: A picture, or the path of one.
            id: Any string of up to 65,536 characters. By default the absolute path, or
                for pictures without one a new random id.
            metadata: What to remember of it: whatever JSON can say in 1 MiB.

        Raises:
            ImageError: The picture cannot be used.
            InvalidArgumentError: `id` or `metadata` is not as said.
            EmbeddingError: A model gave no usable vector.
            StoreError: A store failed; the picture is not stored.
        """
        self._check_open()
        uri = absolute_path(image) if isinstance(image, str | os.PathLike) else None
        record = Record(
            id=check_id(id if id is not None else uri or uuid4().hex),
            uri=uri,
            metadata=check_metadata(metadata),
            models=tuple(self._embedders),
        )
        picture = open_image(image if uri is None else uri, self._reading)
        vectors = {name: e.embed(picture)[0] for name, e in self._embedders.items()}
        self._catalog.put([NewImage(record, vectors)])
        return record.id

    def get(self, id: str) -> Record | None:
        """Return what is stored under `id`, or None."""
        self._check_open()
        stored = self._catalog.records.find([check_id(id)]).get(id)
        return stored.record if stored else None

    def remove(self, id: str | Iterable[str]) -> list[str]:
        """Remove pictures from all models; return the ids that were there.

        When this returns, they are never found again, also after a crash. Ids that
        are not there are passed over.

        Raises:
            InvalidArgumentError: One is no id; none was removed.
            StoreError: A store failed.
        """
        self._check_open()
        if not isinstance(id, Iterable):
            raise InvalidArgumentError(f"id {id!r:.80}: expected an id, or several in an iterable")
        # All before the first, so that a wrong one among them changes nothing.
        ids = [check_id(each) for each in ([id] if isinstance(id, str) else id)]
        return [gone for batch in batched(ids, 256) for gone in self._catalog.remove(batch)]

    def count(self) -> int:
        """Return how many pictures are stored."""
        self._check_open()
        return self._catalog.records.count()
