"""The search engine facade: each operation calls one collaborator."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.lifetime import Lifetime, close_all
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.telemetry.observation import (
    iterated_operation,
    joint_operation,
    operation,
)
from onnxsearch._internal.telemetry.timings import Recorder
from onnxsearch._internal.validation import instance, integer
from onnxsearch.album_map.mapping import map_images
from onnxsearch.augmentation.building import augment
from onnxsearch.augmentation.derivation import completed
from onnxsearch.augmentation.model import augmented_model
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.exports.parquet_reader import ParquetExport
from onnxsearch.catalog.exports.saving import save_export
from onnxsearch.catalog.index_info import index_info
from onnxsearch.catalog.index_stats import index_stats
from onnxsearch.catalog.integrity import verify
from onnxsearch.catalog.keys import check_id, check_ids
from onnxsearch.catalog.listing import Records
from onnxsearch.catalog.metadata_update import update_metadata
from onnxsearch.catalog.removal import remove_images
from onnxsearch.catalog.snapshot import Snapshot, save_snapshot
from onnxsearch.catalog.transfer import CatalogSource, copy, transfer
from onnxsearch.classification.by_examples import classify_by_examples
from onnxsearch.classification.by_words import classify_by_words
from onnxsearch.classification.examples import Examples
from onnxsearch.classification.image_directions import ImageDirections
from onnxsearch.classification.prompts import PROMPT, Prompts
from onnxsearch.embedders.registry import EmbedderRegistry
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.advising import Advisor
from onnxsearch.evaluation.bootstrap import Bootstrap
from onnxsearch.evaluation.comparison import compare
from onnxsearch.evaluation.evaluator import Evaluator
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.index_recall import index_recall
from onnxsearch.evaluation.index_tuning import tune
from onnxsearch.evaluation.pool_rankings import PoolRankings
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.indexing.addition import add_image
from onnxsearch.indexing.backfill import Backfill
from onnxsearch.indexing.bulk_addition import add_images, stream_images
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.migration import (
    MakeEmbedders,
    adopt_models,
    begin_migration,
    drop_model,
    migrate,
)
from onnxsearch.indexing.pipeline import Pipeline
from onnxsearch.indexing.spaces import ensure_collections, remember_models
from onnxsearch.indexing.watching import FolderWatch
from onnxsearch.locations import (
    make_embedders,
    model_places,
    open_stores,
    records_place,
    stored_embedders,
)
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.search.duplicate_threshold import calibrate
from onnxsearch.search.joint_search import JointSearch
from onnxsearch.search.near_duplicates import clusters, exact_copies
from onnxsearch.search.query_encoder import QueryEncoder
from onnxsearch.search.refinement import Refinement
from onnxsearch.search.retriever import Retriever
from onnxsearch.search.searcher import Searcher, one_query
from onnxsearch.search.selection import Selection
from onnxsearch.search.stored_vectors import stored_vectors
from onnxsearch.vectors.base import VectorStore

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator
    from datetime import timedelta

    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.album_map.album_map import AlbumMap
    from onnxsearch.augmentation.building import AugmentReport
    from onnxsearch.catalog.index_info import IndexInfo
    from onnxsearch.catalog.index_stats import Stats
    from onnxsearch.catalog.integrity_report import VerifyReport
    from onnxsearch.catalog.transfer import ImageSource, ImageTarget, TransferReport
    from onnxsearch.classification.classification import Classification
    from onnxsearch.classification.classifier import Classifier
    from onnxsearch.classification.prompts import Words
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.evaluation.advice import Advice
    from onnxsearch.evaluation.bootstrap import Estimate
    from onnxsearch.evaluation.comparison import Comparison
    from onnxsearch.evaluation.evaluation import Evaluation
    from onnxsearch.evaluation.ground_truth import Labels
    from onnxsearch.evaluation.index_tuning import Tuning
    from onnxsearch.filters import Filter
    from onnxsearch.indexing.change_detection import MetadataSource
    from onnxsearch.indexing.file_metadata import ItemMetadata
    from onnxsearch.indexing.sources.base import Source
    from onnxsearch.search.duplicate_groups import DuplicateGroups
    from onnxsearch.search.duplicate_threshold import Threshold
    from onnxsearch.search.expansion import AlphaQE
    from onnxsearch.search.fusion import FusionChoice
    from onnxsearch.search.keywords import Keywords
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.rerank import RerankChoice
    from onnxsearch.search.results import SearchResults
    from onnxsearch.types import (
        ImageInput,
        IndexReport,
        Item,
        MetadataInput,
        Outcome,
        Record,
        Vectors,
    )

DEFAULT_NAMESPACE = "onnxsearch"


class SearchEngine(Closeable):
    """Search engine for similar images.

    Every embedder embeds each image. The vectors are stored in `vectors`, in one
    collection per model, and the records in `metadata`. All methods may be called from
    several threads at once. A new engine first ends the writes that a crash interrupted.

    The embedders and stores belong to the caller: `close` leaves them open, so that
    engines can share them. `SearchEngine.open` creates its own, and closes them.

    Args:
        embedders: One or several, with different names. Searches use the first one
            unless they name a model.
        vectors: The store of the vectors.
        metadata: The store of the records.
        namespace: Separates engines in the same stores: a letter, then letters, digits
            and single underscores.
        workers: Threads that decode and embed in bulk; by default one per core that
            this process may use.
        batch_size: Images that a worker embeds at once. On a CPU, 4 is as fast as any
            other number and keeps memory small; use 32 or more on a GPU.
        reading: How image files are opened: the pixel limit, and which damage is accepted.
        clock: Returns the time in seconds since 1970; it decides what has expired (see `add`).

    Raises:
        InvalidArgumentError: There is no embedder, two have the same name, or an argument
            has a wrong type or value.
        ProfileError: `reading` decodes drafts, and the profile of a model needs single
            pixels.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        instance("vectors", vectors, VectorStore, "a VectorStore")
        instance("metadata", metadata, MetadataStore, "a MetadataStore")
        instance("reading", reading, ReadPolicy, "a ReadPolicy")
        if not callable(clock):
            raise InvalidArgumentError(f"clock {clock!r:.80}: expected a function like time.time")
        self._catalog = Catalog(vectors, metadata, namespace, clock)
        self._catalog.complete = partial(completed, self._catalog)
        derive = partial(augmented_model, self._catalog)
        self._embedders = EmbedderRegistry(embedders, self._catalog.whereabouts, derive)
        self._workers = (
            available_cores() if workers is None else integer("workers", workers, least=1)
        )
        self._batch_size = integer("batch_size", batch_size, least=1)
        self._reading = reading
        self._retriever = Retriever(self._catalog, vectors, reading)
        encoder = QueryEncoder(self._catalog, reading)
        self._searcher = Searcher(
            self._embedders, encoder, self._retriever, self._workers, self._batch_size
        )
        self._joint_search = JointSearch(self._searcher)
        self._lifetime = Lifetime("this engine")
        self._recorder = Recorder()
        self._make_embedders: MakeEmbedders | None = None
        # Compare first: whatever comes later may delete vectors.
        self._catalog.identity.open(self._embedders)
        # Recover next: it may still have to drop one of these collections.
        self._catalog.recover()
        self._catalog.sweeper.sweep_some()
        ensure_collections(self._catalog, self._embedders.values(), reading)
        remember_models(self._catalog, self._embedders.values())

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        embedders: Embedder | Sequence[Embedder] | None = None,
        records: str | os.PathLike[str] | None = None,
        model_path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        workers: int | None = None,
        batch_size: int = 4,
        reading: ReadPolicy = READ_STRICTLY,
        metadata: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the engine at `location`; create it if it does not exist.

        Args:
            location: A folder (embedded stores, created if missing), `x.db` (Milvus
                Lite) or `http(s)://host:port` (a Milvus server).
            embedders: By default the models that the index was filled with, its default
                model first. A new index gets the bundled EfficientNet-Lite2, with 1280
                dimensions.
            records: A `redis://`, `rediss://` or `unix://` URL, or the path of an
                SQLite file. By default SQLite beside the vectors.
            model_path: Files, and folders with all below them, where the models are looked
                for that are no longer where they were; in addition to those in the variable
                `ONNXSEARCH_MODELS`. A model is recognised by the hash of its file.
            namespace: Separates engines at the same location.
            workers: See `SearchEngine`.
            batch_size: See `SearchEngine`.
            reading: See `SearchEngine`.
            metadata: The former name of `records`.

        Raises:
            InvalidArgumentError: The location is none of these, a server was named without
                `records`, or `model_path` was given beside `embedders`.
            ModelNotFoundError: A model of the index is not found; the message says which,
                and how to give it.
            StoreUnavailableError: A server cannot be reached.
            StoreLockedError: Another process holds the Milvus Lite file.
            SpaceMismatchError: The vectors there are of another model.

        Example:
            >>> with SearchEngine.open("album") as engine:
            ...     engine.index("~/Pictures", progress=True)
            ...     engine.search("query.jpg", limit=5)
        """
        owned: list[Embedder | VectorStore | MetadataStore] = []
        try:
            places = model_places(model_path)
            stores = open_stores(location, records_place(records, metadata))
            owned += stores
            make = None if embedders is not None else partial(make_embedders, places=places)
            if embedders is None:
                embedders = stored_embedders(*stores, namespace, places)
                owned += embedders
            elif model_path is not None:
                raise InvalidArgumentError(
                    "model_path says where the models of the index are, and embedders gives "
                    "models: expected one of the two"
                )
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
        engine._lifetime.own(owned)
        engine._make_embedders = make
        return engine

    @property
    def models(self) -> list[str]:
        """Names of the models, the default one first."""
        return list(self._embedders)

    def close(self) -> None:
        """Close the embedders and stores that `open` created; a second call does nothing.

        Do not close an engine that another thread is using.
        """
        self._lifetime.end()

    @operation
    def index(
        self,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        metadata: MetadataSource = None,
        progress: ProgressSink = False,
        prune: bool = False,
        allow_empty: bool = False,
        exclude: Sequence[str] = (),
        include_hidden: bool = False,
        root: str | os.PathLike[str] | None = None,
    ) -> IndexReport:
        """Index files and report the outcome of each.

        Stored files that have not changed are not read again, so a stopped run continues
        where it ended. No file stops the run. A file with the same bytes as a stored image
        is not stored again.

        Args:
            source: A folder (with all below it), a file, or an iterable of files.
                A file's id is its absolute path, or its path below the root.
            metadata: Metadata for all files, or a function from a file's `Path` to its
                metadata, at most 1 MiB as JSON. None keeps the stored metadata.
            progress: True shows it on standard error; a function receives a
                `Progress` after each file.
            prune: Also remove images whose file in the folder no longer exists. If a folder
                held images and now holds none, as with a drive that is not mounted, an
                error is raised instead.
            allow_empty: With `prune`, accept such folders, and a source that does not exist.
            exclude: Patterns as in a `.gitignore` file, relative to the folder; files and
                folders that match are skipped. Needs the extra `[patterns]`.
            include_hidden: Also index files and folders whose name begins with a dot.
            root: A folder that holds all files of `source`. Files below it are stored by their
                paths relative to it (`trip/a.jpg` is also the id), so that the folder can move:
                index it again with its new path as `source` and `root`, and every image is
                unchanged. If the index is in a file and moves with the folder, opening it is
                enough. An index has one root, which it remembers.

        Returns:
            A report with one outcome per file, in the order of the files. Hidden files, files
            of the system, linked folders and files that are not images are skipped.

        Raises:
            ImageNotFoundError: The folder or file does not exist.
            EmptySourceError: The folder holds no file.
            InvalidArgumentError: An argument has a wrong type or value, a file is outside the
                root, files of the index are still in another root, or `prune` would empty a
                folder.
            StoreError: A store failed; images that were stored before stay.

        Example:
            >>> report = engine.index("~/Pictures")
            >>> report.counts["indexed"], report.failures
        """
        excluded = Exclusion(exclude, include_hidden=include_hidden)
        files = read_source(source, excluded, allow_empty=prune and allow_empty)
        return self._pipeline().run(
            files, metadata, progress, root=root, prune=prune, allow_empty=allow_empty
        )

    @iterated_operation
    def watch(
        self,
        folder: str | os.PathLike[str],
        *,
        metadata: MetadataSource = None,
        progress: ProgressSink = False,
        prune: bool = True,
        exclude: Sequence[str] = (),
        include_hidden: bool = False,
        root: str | os.PathLike[str] | None = None,
        quiet: float = 1.0,
        polling: bool = False,
        stop_event: threading.Event | None = None,
    ) -> Generator[IndexReport, None, None]:
        """Keep the index of a folder up to date, and yield a report of each change.

        The first report is that of `index(folder, prune=prune)`. From then on, files that are
        created, changed, renamed or removed are indexed or removed as they are reported by the
        operating system, and each report holds the outcomes of these files. If the process is
        killed, the next watch catches up. If the folder is removed or unmounted, nothing is
        deleted: a report says so, and watching continues when the folder is back.

        Needs the extra `[watch]`.

        Args:
            folder: The folder, with all below it.
            metadata: As for `index`.
            progress: As for `index`; of the first report.
            prune: Also remove images whose file no longer exists; as for `index`, not those
                of a folder that is empty as if a drive were not mounted.
            exclude: As for `index`.
            include_hidden: As for `index`.
            root: As for `index`.
            quiet: Seconds for which nothing was reported of a file before it is indexed, so
                that a file which is being copied is not read half.
            polling: Look at all files every second, for folders of which the system reports
                no changes, such as network shares.
            stop_event: Ends the iteration once it is set, from any thread. `break` and
                Ctrl-C end it too.

        Raises:
            ImageNotFoundError: The folder does not exist.
            InvalidArgumentError: `folder` is a file, or an argument has a wrong type or value.
            MissingExtraError: The extra is not installed.
            OnnxSearchError: The system cannot watch the folder, as when its limit is reached.
            StoreError: A store failed. The next watch continues.

        Example:
            >>> for report in engine.watch("~/Pictures"):
            ...     print(report)
        """
        excluded = Exclusion(exclude, include_hidden=include_hidden)
        return FolderWatch(
            self._pipeline(),
            folder,
            excluded,
            metadata=metadata,
            progress=progress,
            root=root,
            prune=prune,
            quiet=quiet,
            polling=polling,
            stop_event=stop_event,
        ).reports()

    @operation
    def add(
        self,
        image: ImageInput,
        *,
        id: str | None = None,
        metadata: MetadataInput | None = None,
        ttl: float | timedelta | None = None,
    ) -> str:
        """Store one image, in place of the image with the same id; return the id.

        When this method returns, searches find the image, also after a crash.

        Args:
            image: An image, or its path.
            id: Any string of up to 65,536 characters. By default the absolute path, for a
                file below the root of the index (see `index`) the path relative to it, and
                for an image without a path a new random id.
            metadata: Metadata of the image: a JSON object of at most 1 MiB.
            ttl: Time to live, in seconds or as a `timedelta`. When it is over, the image is no
                longer found, and later it is removed from the stores (see `sweep`). By default
                the image stays.

        Raises:
            ImageError: The image cannot be used.
            InvalidArgumentError: `id`, `metadata` or `ttl` has a wrong type or value.
            EmbeddingError: A model returned no usable vector.
            StoreError: A store failed; the image is not stored.
        """
        return add_image(
            self._catalog, self._embedders, self._reading, image, id=id, metadata=metadata, ttl=ttl
        )

    @operation
    def add_many(
        self,
        items: Source | Iterable[Item | Outcome | ImageInput],
        *,
        metadata: ItemMetadata = None,
        ttl: float | timedelta | None = None,
        progress: ProgressSink = False,
    ) -> IndexReport:
        """Store many images on all cores, in bounded memory; report the outcome of each.

        Images are stored in commits of 64, and the iterable is read only a few images ahead.
        It may be a generator that never ends. If it raises an error, the error is raised
        here when all images before it are stored. No item stops the run: what cannot be
        stored, such as a damaged image or an id that is not text, is an outcome.

        An item is stored under its `id`, in place of what this id holds. Of two items with
        the same id, the last one counts. An item that changes nothing is `UNCHANGED`, and no
        model runs; an image without bytes, such as an array, is always embedded. Without an
        `id`, an image with the same bytes as a stored one is a `DUPLICATE`. A path is treated
        as by `index`: its file is not read again if its size and time are unchanged.

        Args:
            items: Items, images (paths, bytes, open files, arrays or Pillow images), or a
                source. An image must not change before its outcome is known. An `Outcome`
                is passed on to the report.
            metadata: Metadata for all items, or a function from an item's image (a `Path`,
                bytes, an array or a Pillow image) to its metadata, such as `exif`. The
                fields of `Item.metadata` come before them.
            ttl: Time to live, as for `add`. By default an item that its id holds already, even
                with other bytes, expires when it would have expired.
            progress: True shows it on standard error; a function receives a
                `Progress` after each item.

        Returns:
            A report with one outcome per item, in order.

        Raises:
            InvalidArgumentError: `items` is no iterable, or is itself an image; or `metadata`
                cannot be stored.
            StoreError: A store failed; images that were stored before stay.

        Example:
            >>> rows = [("cup", cup_jpeg, 12.0), ("bowl", bowl_jpeg, 30.0)]
            >>> engine.add_many(
            ...     Item(data, id=name, metadata={"price": price}) for name, data, price in rows
            ... )
        """
        return add_images(self._pipeline(), items, metadata, ttl, progress)

    @iterated_operation
    def index_iter(
        self,
        source: str | os.PathLike[str] | Source | Iterable[Item | Outcome | ImageInput],
        *,
        metadata: ItemMetadata = None,
    ) -> Iterator[Outcome]:
        """Store images as `index` and `add_many` do, and yield each outcome when it is final.

        An outcome is yielded when its image is stored, with a commit of 64 images. No report
        is kept, so that a source may be endless. Images are stored only while the iterator
        is read: read it to the end, or stop and index the rest later.

        Args:
            source: A folder or file, as for `index`; or items, as for `add_many`.
            metadata: As for `add_many`.

        Yields:
            Outcomes; of items in their order, of files those that changed last.

        Raises:
            ImageNotFoundError: The folder or file does not exist.
            EmptySourceError: The folder holds no file.
            InvalidArgumentError: An argument has a wrong type or value.
            StoreError: A store failed; images that were stored before stay.

        Example:
            >>> for outcome in engine.index_iter(camera_frames()):
            ...     print(outcome.id, outcome.status)
        """
        return stream_images(self._pipeline(), source, metadata)

    @operation
    def get(self, id: str) -> Record | None:
        """Return the record of `id`, or None."""
        return self._catalog.records.record(check_id(id))

    @operation
    def update(self, id: str, *, metadata: MetadataInput, merge: bool = True) -> Record:
        """Change the metadata of a stored image; its vectors stay, and no model runs.

        When this method returns, searches filter by the new metadata, also after a crash. Of
        several writers at the same time, none undoes what another one changed.

        Args:
            id: The image.
            metadata: Fields to change. None removes a field, and an object is merged into a
                stored object, field by field: a JSON merge patch (RFC 7396). The result is at
                most 1 MiB as JSON.
            merge: False stores `metadata` instead of all that was stored.

        Returns:
            The record that is stored now.

        Raises:
            InvalidArgumentError: No image of this id is stored, or `metadata` has a wrong type
                or value.
            StoreError: A store failed; the image is as it was.

        Example:
            >>> engine.update("cat", metadata={"rating": 5, "draft": None}).metadata
            {'name': 'Tom', 'rating': 5}
        """
        return update_metadata(self._catalog, id, metadata, merge=merge)

    @operation
    def remove(
        self, id: str | Iterable[str] | None = None, *, filter: Filter | None = None
    ) -> list[str]:
        """Remove images from all models; return the ids that existed.

        When this method returns, no search finds these images, also after a crash. Ids that
        do not exist are skipped.

        Args:
            id: One or several ids.
            filter: Instead of ids, a filter: all images whose metadata match are removed, 256
                at a time.

        Raises:
            InvalidArgumentError: Not exactly one of `id` and `filter` is given, or one has a
                wrong type; nothing was removed.
            StoreError: A store failed.

        Example:
            >>> engine.remove(filter=F("year") < 2000)
        """
        return remove_images(self._catalog, id, filter)

    @operation
    def sweep(self) -> int:
        """Remove all expired images from the stores; return their number.

        Nothing has to call this: no search or other method returns an image from the moment
        at which it expires. An engine that opens or writes removes some of them, at most once
        a minute.

        Raises:
            StoreError: A store failed.
        """
        return self._catalog.sweeper.sweep()

    @operation
    def count(self) -> int:
        """Return the number of stored images that have not expired."""
        return self._catalog.records.count()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        # An engine without images would be false otherwise, because it has a length.
        return True

    def __contains__(self, id: str) -> bool:
        self._lifetime.check()
        return bool(self._catalog.records.find([check_id(id)]))

    def records(self, filter: Filter | None = None, *, order_by: str | None = None) -> Records:
        """Return the records of stored images, to iterate in bounded memory.

        Args:
            filter: Keeps only images whose metadata match, as in a search.
            order_by: `"id"`, `"uri"`, `"modified"` (the time of the file) or a metadata field,
                with "-" before it for descending order. Numbers come before text. Images
                without such a value come last; equal values are in the order of the ids. By
                default the order is undefined, and the first record comes sooner.

        Returns:
            An iterable. Each iteration reads the store anew.

        Raises:
            InvalidArgumentError: An argument has a wrong type or value.

        Example:
            >>> for record in engine.records(F("rating") >= 4, order_by="-modified"):
            ...     print(record.id, record.metadata)
        """
        self._lifetime.check()
        return Records(self._catalog.records, filter, order_by)

    @operation
    def vectors(self, ids: str | Iterable[str], model: str | None = None) -> Vectors:
        """Return the stored vectors of images.

        Args:
            ids: One or several ids.
            model: Name of the model; by default the first one.

        Returns:
            A matrix of shape (n, dimension) and type float32 with a row for each id, in their
            order; for `Metric.HAMMING` of shape (n, dimension / 8) and type uint8.

        Raises:
            InvalidArgumentError: An image is not stored, or has no vector of the model.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> engine.vectors(["cat", "dog"]).shape
            (2, 1280)
        """
        return stored_vectors(self._catalog, self._embedders.named(model), check_ids(ids))

    @operation
    def info(self) -> IndexInfo:
        """Return what the index is: its models, its stores, and how much they hold.

        The models are those that the index remembers, also those that this engine was opened
        without.

        Raises:
            StoreError: A store failed.

        Example:
            >>> engine.info().models[0].profile
            'keras-caffe'
        """
        return index_info(self._catalog)

    def stats(self) -> Stats:
        """Return how much the engine holds, and what it has done since it was opened.

        Counts and latencies are those of this engine object, in this process.

        Raises:
            StoreError: A store failed.

        Example:
            >>> stats = engine.stats()
            >>> stats.images, stats.operations["search"].p95, stats.steps["embed"].items
            (6, 0.021, 9)
        """
        self._lifetime.check()
        return index_stats(self._catalog, self._embedders.values(), self._recorder)

    @operation
    def search(
        self,
        query: QueryInput | None = None,
        *,
        text: str | None = None,
        model: str | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: Filter | None = None,
        exclude: str | Iterable[str] = (),
        exclude_query: bool = False,
        max_distance: float | None = None,
        min_score: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        diversity: float = 0.0,
        expand: AlphaQE | None = None,
        rerank: RerankChoice | None = None,
        keywords: str | Keywords | None = None,
        augmented: bool = False,
        box: Sequence[int] | None = None,
    ) -> SearchResults:
        """Return the images that are most similar to the query, nearest first.

        Args:
            query: An image or its path; or a `Query`: the id of a stored image, a text, a
                vector, several examples. If the image is stored itself, it is the first
                hit, at distance 0.
            text: Short for `Query.text(text)`.
            model: Name of the model to search with; by default the first one.
            models: Names of several models instead, whose rankings are fused. The distance
                of a fused hit is 1 - score, with a score from 0 to 1. The first 100 ranks
                of each model are fused; if these are too few, hits of the next 300
                follow, and so on. Each page therefore continues the one before.
            fusion: How they are fused: `"rrf"` (the default), `"scores"`, or a `Fusion`
                with weights. Only with `models` or `keywords`.
            limit: Number of images, at least 1. If fewer are stored, all are returned.
            offset: Number of nearest images to leave out, for the next page.
            filter: Keeps only images whose metadata match.
            exclude: Ids to leave out, any number. The results are as if these images were not
                stored, also with several models.
            exclude_query: Leave out the image that the query is itself, with its copies: the
                image of the id, or of the file's path, and all images with the same bytes. Of
                examples, all are left out. Not for texts, vectors, Pillow images and arrays.
            max_distance: Keeps only images that are not further away.
            min_score: Keeps only images whose `Hit.score` is not lower. With several models,
                that is the fused score.
            group_by: A metadata field: only the nearest of the images with the same value is
                returned. An image without this field is a group of its own.
            group_size: Number of images of each group that are returned, at most. Only with
                `group_by`.
            augmented: Search the vectors that `augment` has made of the model's, or of each of
                `models`. The same as `<model>:augmented` for the name of a model. A vector query
                is then one of these vectors.
            diversity: Above 0, hits are chosen to be near the query and unlike each other, by
                maximal marginal relevance, and returned in the order of the choice; with 1
                only the unlikeness counts. The nearest 100 are reordered, then the next
                100, and so on. For one model.
            expand: Moves the query's vector towards its nearest images, and searches for that:
                `AlphaQE(n=2, alpha=3)`. Only images take part that the search may find; with
                several rankings, those that come first in their fusion move the vector of each
                model. Distances are those to the moved vector.
            rerank: Looks again at the first hits, 100 by default, and puts them into a better
                order: `Rerank.by_model("strong")`, or a function of the query and the hits that
                returns a score for each. `max_distance` and `min_score` decide before, `group_by`
                keeps the first of the new order. Distances stay those of the search; see
                `Hit.rerank_score`. Not with `diversity`.
            keywords: Words of captions, tags and file names, such as `"red apple"`; `Keywords`
                also names the metadata fields. The ranking by these words is fused with that
                of the query, as with several models; its name for weights is `"keywords"`.
                Without a query it is returned itself, and the score of a hit is BM25.
            box: Searches with a part of the query's image: (left, top, right, bottom) in pixels
                of the upright image. The query is an image, or the id of a stored image whose
                file exists. With `model="NAME.regions"` images are found in which it is a part.

        Raises:
            ImageError: The image cannot be used.
            UnknownModelError: The engine has no model of this name.
            InvalidArgumentError: Not exactly one query was given, `keywords` have no words, or an
                argument has a wrong type or value.
            StoreError: A store failed, or cannot search for keywords.

        Example:
            >>> for hit in engine.search("query.jpg", limit=5):
            ...     print(f"{hit.distance:.3f}  {hit.uri}")
            >>> engine.search(Query.examples(like=["rose.jpg"], unlike=["cactus.jpg"]))
            >>> engine.search("query.jpg", models=["vgg16", "resnet50"])
            >>> engine.search("query.jpg", keywords="red apple")
        """
        selection = Selection(
            limit=limit,
            offset=offset,
            filter=filter,
            exclude=exclude,
            exclude_query=exclude_query,
            max_distance=max_distance,
            min_score=min_score,
            group_by=group_by,
            group_size=group_size,
            diversity=diversity,
        )
        refinement = Refinement(
            expand=expand, rerank=rerank, keywords=keywords, augmented=augmented, box=box
        )
        return self._searcher.search(
            one_query(query, text, refinement),
            selection,
            refinement,
            model=model,
            models=models,
            fusion=fusion,
        )

    @iterated_operation
    def search_many(
        self,
        images: Iterable[ImageInput],
        *,
        model: str | None = None,
        limit: int = 10,
        filter: Filter | None = None,
        exclude: str | Iterable[str] = (),
        exclude_query: bool = False,
        min_score: float | None = None,
    ) -> Iterator[SearchResults]:
        """Yield the results of `search` for each image, in order.

        This is much faster than a loop over `search`: all cores embed, and the store is
        asked once for the images of a list (once for each 819 of a model with 1,280
        numbers, so that memory stays bounded). An iterator is read as its images are
        needed: the first results come early, and later ones many at a time.
        `exclude_query` leaves out each image from its own results.

        Raises:
            ImageError: An image cannot be used; results of earlier ones were yielded.
            UnknownModelError: The engine has no model of this name.
            InvalidArgumentError: `limit` is below 1, or `images` is a single image.
            StoreError: A store failed.
        """
        selection = Selection(
            limit=limit,
            filter=filter,
            exclude=exclude,
            exclude_query=exclude_query,
            min_score=min_score,
        )
        return self._searcher.search_many(images, selection, model=model)

    @operation
    def compare(
        self,
        query: QueryInput | Sequence[QueryInput],
        *,
        models: Sequence[str] | None = None,
        limit: int = 10,
        filter: Filter | None = None,
        exclude: str | Iterable[str] = (),
        exclude_query: bool = False,
    ) -> Comparison:
        """Search with several models and compare their results.

        An image is decoded once for all models. All cores encode a list of queries, and each
        model's store is asked for many of them at once.

        Args:
            query: A query as for `search`; or a list of queries, over which the measures
                are averaged.
            models: Names of the models, at least two; by default all.
            limit: Number of images of each model. If fewer are stored, all are returned.
            filter: Keeps only images whose metadata match.
            exclude: As for `search`.
            exclude_query: As for `search`.

        Raises:
            ImageError: An image cannot be used.
            UnknownModelError: The engine has no model of this name.
            InvalidArgumentError: There are fewer than two models, or no query.
            StoreError: A store failed.

        Example:
            >>> comparison = engine.compare("query.jpg", limit=10)
            >>> comparison.results["vgg16"][0].distance
            >>> comparison.overlap(5)
        """
        selection = Selection(
            limit=limit, filter=filter, exclude=exclude, exclude_query=exclude_query
        )
        return compare(self._searcher, query, self._embedders.selected(models), selection)

    @operation
    def evaluate(
        self,
        labels: Labels | None = None,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice | None = None,
        k: Sequence[int] = (1, 5, 10),
        depth: int | None = None,
        expand: AlphaQE | None = None,
        rerank: RerankChoice | None = None,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Measure how well each model, and their fusion, finds images that belong together.

        Each labelled image is searched for among all other labelled images; those with the
        same label are the right answers. The stored vectors are used, and no model runs.

        Args:
            labels: A mapping from id to label; the name of a metadata field; or a function
                from a record to its label. None means unknown.
            pairs: Instead of labels, pairs of ids. Each id of a pair is the right answer to
                the other, among all stored images.
            models: Names of the models; by default all.
            fusion: How several models' rankings are fused, as `search` fuses them: by
                default `"rrf"`.
            k: Ranks at which precision and recall are computed.
            depth: Number of ranks that are used, without the query itself; by default all,
                which takes time quadratic in the number of images; a million ranks are in
                memory at once, about 150 MB. (Milvus returns at most 16,384 rows.)
            expand: As for `search`; the query's own image takes no part.
            rerank: As for `search`: the first ranks of each model, and of their fusion, are
                reordered. A function is given the query as `Query.id`.
            confidence: Confidence level of the bootstrap intervals.
            resamples: Number of bootstrap samples.
            seed: Seed of the bootstrap samples.

        Raises:
            InvalidArgumentError: Not exactly one of `labels` and `pairs` is given, no
                two images belong together, or an id is not stored.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> evaluation = engine.evaluate(lambda record: Path(record.uri).parent.name)
            >>> evaluation.scores["vgg16"].mean_average_precision.value
        """
        embedders = self._embedders.selected(models)
        refinement = Refinement(expand=expand, rerank=rerank)
        rankings = PoolRankings(
            self._retriever, self._embedders, embedders, fusion, depth, refinement
        )
        evaluator = Evaluator(rankings, k)
        truth = GroundTruth.of(self._catalog.records, labels=labels, pairs=pairs)
        return evaluator.evaluate(truth, Bootstrap(confidence, resamples, seed))

    @operation
    def advise(
        self,
        labels: Labels,
        model: str | None = None,
        *,
        metric: str = "mean_average_precision",
        queries: int = 1000,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Advice:
        """Try settings of `search` on labelled images, and report what pays.

        Tried are the other models, the fusion of all (`fusion=`), the augmented vectors of each
        (`augmented=True`, after `augment`), expansion (`expand=`), and reranking by another model
        (`rerank=`). A random half of the queries chooses the best setting, step by step; one with
        a lower precision@1 than the plain search is not chosen. The other half measures every
        setting. The stored vectors are used, and no model runs.

        Args:
            labels: As for `evaluate`.
            model: Name of the model of the plain search; by default the first one.
            metric: What is improved: one of `mean_average_precision`, `ndcg`, and `precision@k`
                and `recall@k` for k 1, 5 and 10.
            queries: Labelled images that are searched for, at most, drawn at random; at least 4.
                All labelled images are ranked, about a dozen times.
            confidence: Confidence level of the intervals.
            seed: Seed of the random draws.

        Raises:
            InvalidArgumentError: Fewer than four images share a label with another one, an id is
                not stored, an image has no vector of a model, or another argument has a wrong
                value.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> engine.augment()
            >>> advice = engine.advise("kind")
            >>> print(advice)
            >>> print(advice.call)
            engine.search(query, model='efficientnet-lite2', augmented=True)
        """
        plain, bootstrap = self._embedders.named(model).name, Bootstrap(confidence, seed=seed)
        advisor = Advisor(self._retriever, self._embedders, metric, queries, bootstrap)
        return advisor.advise(GroundTruth.of_labels(labels, self._catalog.records), plain)

    @operation
    def classify(
        self,
        labels: Words,
        model: str | None = None,
        *,
        prompt: str = PROMPT,
        known: Labels | None = None,
        filter: Filter | None = None,
    ) -> Classification:
        """Classify the stored images by words, without an example (zero-shot).

        The model needs a text tower, such as CLIP's. The image gets the label whose text is
        nearest to it. Only the texts are embedded; the images' vectors are stored.

        Args:
            labels: Words, such as `["cat", "dog"]`. Or a mapping from each label to one text or
                several, whose mean counts; these are taken as they are.
            model: Name of the model; by default the first one.
            prompt: Where labels are words, the text that `{}` in it makes of each.
            known: Labels of some images, in a form that `evaluate` takes, all among `labels`;
                None for other images. The probabilities are calibrated on these, and the result
                says how good they are. Without them the probabilities are those that CLIP's
                training would give, which rank the images but may be far from the truth.
            filter: Classifies only images whose metadata match.

        Returns:
            A prediction for each image.

        Raises:
            InvalidArgumentError: There are fewer than two labels, one is empty or there twice,
                `known` has another one, the model embeds images only, or an image has no vector
                of the model.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> for image in engine.classify(["cat", "dog"], model="clip"):
            ...     print(image.id, image.label, f"{image.probability:.0%}")
        """
        stored = ImageDirections(self._retriever, self._embedders.named(model))
        records, prompts = Records(self._catalog.records, filter), Prompts.of(labels, prompt)
        index = self._catalog.records
        examples = None if known is None else Examples.of(known, index, argument="known")
        return classify_by_words(stored, records, prompts, self._searcher.encoder, examples)

    @operation
    def classify_by_examples(
        self,
        labels: Labels,
        model: str | None = None,
        *,
        classifier: Classifier | None = None,
        folds: int = 5,
        seed: int = 0,
        filter: Filter | None = None,
    ) -> Classification:
        """Classify the stored images by those whose label is known.

        The probabilities are calibrated on labelled images that were not learnt from
        (cross-validation with temperature scaling), and `calibration` of the result says how good
        they are. A labelled image gets a prediction as well, by a classifier that did not learn
        from it, so that `contradictions` shows labels that may be wrong. The only image of a
        class is learnt from, and gets none.

        Args:
            labels: The known labels: by id, a metadata field, or a function of a record, as for
                `evaluate`; strings, numbers or booleans. None means unknown.
            model: Name of the model; by default the first one.
            classifier: How to learn from the examples: `NearestNeighbours()`, the default, or
                `LinearProbe()`, which needs the extra `[sklearn]`. The vectors of the examples are
                held in memory.
            folds: Parts of the examples, each of which is judged by what the others teach.
            seed: Seed of the random draw of the folds.
            filter: Classifies only images whose metadata match. All examples are learnt from.

        Returns:
            A prediction for each image.

        Raises:
            InvalidArgumentError: There are fewer than two classes, no class has two images, a
                label is of another type, an id is not stored, or an image has no vector of the
                model.
            MissingExtraError: scikit-learn is not installed.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> found = engine.classify_by_examples("kind", classifier=LinearProbe())
            >>> print(found.calibration)
            >>> sure = [each for each in found if each.known is None and each.probability > 0.95]
        """
        stored = ImageDirections(self._retriever, self._embedders.named(model))
        records, examples = (
            Records(self._catalog.records, filter),
            Examples.of(labels, self._catalog.records),
        )
        parts = examples.folds(folds, seed)
        return classify_by_examples(stored, records, examples, parts, classifier)

    @operation
    def recall(
        self, *, model: str | None = None, limit: int = 10, sample: int = 100, seed: int = 0
    ) -> Estimate:
        """Return the share of the true nearest neighbours that the vector store finds.

        Stored images are searched for among all others, and the results compared with an
        exact search, which reads every vector once. The recall of an exact index is 1.

        Args:
            model: Name of the model; by default the first one.
            limit: Number of nearest neighbours.
            sample: Number of images to search for, drawn at random.
            seed: Seed of the random draw.

        Returns:
            The mean over the sample, with a 95 % interval.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is below 1.
            StoreError: A store failed.
        """
        store, collection = self._catalog.vectors, self._collection(model)
        return index_recall(store, collection, limit=limit, sample=sample, seed=seed)

    @operation
    def tune(
        self,
        target_recall: float,
        *,
        model: str | None = None,
        limit: int = 10,
        sample: int = 100,
        seed: int = 0,
    ) -> Tuning:
        """Find the cheapest way to search an approximate index that reaches a recall.

        The search settings that the store offers for the existing index are measured like
        `recall`, cheapest first, until one reaches the target: for Milvus, the candidates of
        a graph or the number of lists. The exact results are computed once. Nothing is
        changed: open the store with the proposed index. Milvus builds indexes in the
        background and searches other rows exactly: wait until the index is complete.

        Args:
            target_recall: Share of the true nearest neighbours to find, above 0, at most 1.
            model: Name of the model; by default the first one.
            limit: Number of nearest neighbours.
            sample: Number of images to search for, drawn at random.
            seed: Seed of the random draw.

        Returns:
            The measurements, and as the proposal the cheapest setting that reaches the
            target, or the best one if none does. A store without settings is measured as it
            is.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is out of its range.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> store.wait_until_indexed(store.collections()[0])
            >>> tuning = engine.tune(0.99)
            >>> store = MilvusVectorStore("http://localhost:19530", index=tuning.index)
        """
        store, collection = self._catalog.vectors, self._collection(model)
        return tune(store, collection, target_recall, limit=limit, sample=sample, seed=seed)

    @operation
    def duplicates(
        self, max_distance: float, *, model: str | None = None, progress: ProgressSink = False
    ) -> DuplicateGroups:
        """Return groups of near-duplicates.

        Two images are in one group if their distance is at most `max_distance`, or if a
        chain of such images connects them. Each image is searched for once; the local store
        compares all of them on all cores instead (100,000 in seconds).

        Args:
            max_distance: See `duplicate_threshold`. 0.001 finds copies, whose vectors differ
                by rounding only.
            model: Name of the model; by default the first one.
            progress: True shows the progress on standard error; a function receives a
                `Progress` with the number of images that have been compared with all others.

        Returns:
            Ids by group, as a list of tuples, the largest group first; images without a
            duplicate are left out. An exact copy that `index` did not store again is in the
            group of its image, as its path. `to_html` writes a page to review the groups, and
            `suggestions` says which image of each to keep.

        Raises:
            InvalidArgumentError: `max_distance` is NaN.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> groups = engine.duplicates(max_distance=0.25)
            >>> for group in groups:
            ...     print(*group)
            >>> groups.to_html("duplicates.html")
        """
        return clusters(self._retriever, self._embedders.named(model), max_distance, progress)

    @operation
    def copies(self) -> list[tuple[str, ...]]:
        """Return groups of files that have the same bytes.

        `index` stores one image for all of them. The groups are as the last `index` found the
        files; `index(prune=True)` forgets copies that are gone.

        Returns:
            Absolute paths by group, the largest group first. In a group, the stored file is the
            first; copies are in the order of their paths.

        Raises:
            StoreError: A store failed.

        Example:
            >>> for kept, *others in engine.copies():
            ...     print(kept, "is also", *others)
        """
        return exact_copies(self._catalog.records)

    @operation
    def duplicate_threshold(
        self, pairs: Iterable[tuple[str, str]], *, model: str | None = None
    ) -> Threshold:
        """Find the `max_distance` for `duplicates` from known pairs.

        It is the distance that best separates the pairs from the nearest images that are
        not known to belong together (largest F1).

        Args:
            pairs: Pairs of ids of near-duplicates. List all duplicates of an image, because
                all others count as wrong.
            model: Name of the model; by default the first one.

        Raises:
            InvalidArgumentError: `pairs` is empty, or an image is not stored.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.
        """
        return calibrate(self._retriever, self._embedders.named(model), pairs)

    @operation
    def map(
        self,
        model: str | None = None,
        *,
        filter: Filter | None = None,
        seed: int = 0,
        progress: ProgressSink = False,
    ) -> AlbumMap:
        """Give each image a place in a plane, so that similar images are near each other.

        The places are those of t-SNE over the exact nearest neighbours. Images that are dense in
        the map form clusters, which are named after what their folders and metadata share. The
        same images, model and seed give the same map on one machine.

        10,000 images take half a minute, and 100,000 six minutes of CPU time. All records are in
        memory at once, and of up to 20,000 images all vectors; of more images 128 principal
        components of the vectors are compared.

        Args:
            model: Name of the model; by default the first one. Images without a vector of it are
                left out.
            filter: Keeps only images whose metadata match.
            seed: Of the random numbers with which the layout begins, at least 0.
            progress: True shows it on standard error; a function receives a `Progress` now and
                then, with the images in proportion to the work that is done.

        Raises:
            InvalidArgumentError: An argument has a wrong type or value.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed.

        Example:
            >>> album = engine.map(filter=F("year") == 2024)
            >>> album.to_html("map.html")
        """
        return map_images(self._retriever, self._embedders.named(model), filter, seed, progress)

    @operation
    def backfill(self, model: str, *, progress: ProgressSink = False) -> IndexReport:
        """Compute the missing vectors of a model that was added later.

        Only the files of images without such a vector are read; vectors of other models
        stay. A stopped run continues where it ended.

        Args:
            model: Name of one of the engine's models.
            progress: True shows it on standard error; a function receives a
                `Progress` after each image.

        Returns:
            A report with an outcome for each image that lacked a vector. An image whose file
            is missing or has changed, or that never had a file, is a failure.

        Raises:
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed; vectors that were stored before stay.

        Example:
            >>> with SearchEngine.open("album", embedders=[old, resnet50]) as engine:
            ...     engine.backfill("resnet50", progress=True)
        """
        instance("model", model, str, "the name of a model")
        return self._backfill(self._embedders.named(model)).run(progress)

    @operation
    def augment(
        self,
        model: str | None = None,
        *,
        neighbours: int = 5,
        alpha: float = 3.0,
        progress: ProgressSink = False,
    ) -> AugmentReport:
        """Let the album improve a model: store a second vector of each image, moved by the others.

        The mean of the album is taken off each vector, and each is moved towards its nearest
        neighbours. `search(augmented=True)` searches these vectors, and treats the query alike.
        To searches, fusions, `compare`, `evaluate` and `drop_model` they are a model named
        `<model>:augmented`.

        Images that are stored later are moved when they are stored, towards those that are
        there; those that are removed are found no more. But the vectors of the others stay until
        the next call. It computes the vectors of new images, and of those whose neighbours have
        changed, with the mean of before: as if all were made anew with it. When a tenth of the
        images has come or gone since that mean was taken, and when the arguments are others, all
        are made anew; until that is done, the space is not searched. `info` says how many images
        have come and gone.

        The vectors of all images are held in memory. If the call is cut off, the next one
        completes it.

        Args:
            model: Name of the model; by default the first one.
            neighbours: Images that a vector is moved towards, 1 to 100. More than 5 brought
                nothing on labelled photographs.
            alpha: Power of their similarity that they are weighted with, 0 to 100.
            progress: As in `backfill`.

        Raises:
            InvalidArgumentError: No image is stored, an argument has a wrong type or value, or
                the model's vectors are bits.
            UnknownModelError: The engine has no model of this name.
            StoreError: A store failed; the next call continues.

        Example:
            >>> engine.augment()
            >>> engine.search("query.jpg", augmented=True)
        """
        return augment(self._catalog, self._embedders.named(model), neighbours, alpha, progress)

    @operation
    def drop_model(self, model: str) -> None:
        """Remove a model and its vectors from the engine; images and records stay.

        The model may be one that only an earlier engine had. Writes of other processes that
        still use it fail from then on. Its augmented vectors and its regions go with it; the
        names `<model>:augmented` and `<model>.regions` remove them alone.

        Raises:
            UnknownModelError: Neither the engine nor its stores know the model.
            InvalidArgumentError: The engine has no other model, or gives the regions that are to
                be removed.
            StoreError: A store failed; the next call continues, and so does the next engine
                that opens.
        """
        drop_model(self._catalog, self._embedders, model)

    @operation
    def migrate(
        self, old: str, new: str | Embedder, *, progress: ProgressSink = False
    ) -> IndexReport:
        """Replace a model by another one, while the old one serves searches.

        The vectors of the new model are computed beside the old ones (images that are added
        during this time get both). Then the engine checks that every image has one,
        switches, and deletes the old vectors. If the migration is stopped before the switch,
        the old model continues to serve, and the next call finishes; if after the switch,
        the next engine that opens deletes the old vectors. No other process should write
        during the migration, because it knows only the old model.

        Args:
            old: Name of the model to replace.
            new: The new model: an embedder with another name, or the name of a model of
                this engine.
            progress: As in `backfill`.

        Returns:
            The report of `backfill`.

        Raises:
            ModelError: An image cannot get a vector of the new model; nothing was deleted.
            UnknownModelError: The engine has no model of this name.
            InvalidArgumentError: Both have the same name.
            StoreError: A store failed.
        """
        embedder = begin_migration(self._catalog, self._embedders, old, new, self._reading)
        return migrate(self._embedders, old, self._backfill(embedder), progress)

    @operation
    def verify(self, *, repair: bool = False) -> VerifyReport:
        """Check every vector against the records, and every record against the vectors.

        An engine cleans up after crashes when it opens. `verify` finds the damage that this
        cannot see: a store that lost writes, a backup of only one store, a dropped
        collection. It uses bounded memory. The index may be in use at the same time, by this
        and other processes.

        Args:
            repair: Also repair each defect, as `Defect` describes.

        Returns:
            A report with `.ok`, counts, and the defects.

        Raises:
            StoreCorruptError: A journal entry, or the key of a vector, cannot be read.
            StoreError: A store failed.
        """
        report = verify(self._catalog, repair=repair)
        if repair:
            ensure_collections(self._catalog, self._embedders.values(), self._reading)
        return report

    @operation
    def copy_to(self, other: ImageTarget, *, progress: ProgressSink = False) -> TransferReport:
        """Copy all images to another engine, between any stores, without running a model.

        Images of `other` with the same id are replaced; all others stay. If such an image is
        known to be the same (by `Record.content`, or by equal vectors if there is none), it
        keeps its vectors of models that this engine lacks. Equal images are skipped, so a
        stopped copy continues where it ended. The copy uses bounded memory.

        Models that only `other` has find the new images after `other.backfill(model)`. If
        `other` was opened without embedders and has no images yet, it takes over the models of
        this engine.

        Args:
            other: The engine to copy to.
            progress: True shows it on standard error; a function receives a
                `Progress` after each 256 images.

        Raises:
            InvalidArgumentError: `other` is not an engine, or has the same metadata store and
                namespace as this engine.
            UnknownModelError: `other` has none of the models whose vectors are copied.
            SpaceMismatchError: `other` has vectors of another space under the name of one of
                the models. This and the errors above are raised before anything is written.
            StoreError: A store failed; images that were copied before stay.

        Example:
            >>> with SearchEngine.open("album") as here:
            ...     with SearchEngine.open("http://milvus:19530", records=redis_url) as there:
            ...         here.copy_to(there, progress=True)
        """
        return copy(CatalogSource(self._catalog), other, progress)

    @operation
    def copy_from(self, source: ImageSource, *, progress: ProgressSink = False) -> TransferReport:
        """Store the images of a source, as `copy_to` and `load_snapshot` do.

        An engine that was opened without embedders, and has no images yet, takes over the models
        of the source.

        Args:
            source: Where the images come from.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: The source is this engine's own catalog.
            UnknownModelError: The source has vectors, but none of a model of this engine.
            ModelNotFoundError: A model of the source that would be taken over is not found.
            SpaceMismatchError: The source has vectors of another model, profile or output.
            StoreError: A store failed; images that were copied before stay.
        """
        make = self._make_embedders
        adopted = adopt_models(self._catalog, self._embedders, source, make, self._reading)
        self._lifetime.own(adopted)
        return transfer(source, self._catalog, self.models, progress)

    @operation
    def save_snapshot(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> int:
        """Write the records and vectors of all images to one file; return their number.

        An image that is replaced during this time is written in its old or its new state,
        never in a mixture.

        Args:
            path: The zip file. An existing file is replaced when the new one is complete and
                on disk. Until then the new one has a name beside it that ends in ".part"; a
                killed process leaves it behind.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is not a path, or is a folder.
            StoreError: The file cannot be written, or a store failed.
        """
        return save_snapshot(CatalogSource(self._catalog), target_path(path), progress)

    @operation
    def load_snapshot(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the images of a snapshot, as `copy_to` does, without running a model.

        An engine that was opened without embedders, and has no images yet, takes over the models
        of the snapshot. Their files are looked for where they were, relative to the snapshot if
        they were beside it, and in `model_path` of `open`.

        The file may come from an untrusted source: the worst that it can cause is an error.

        Args:
            path: A file that `save_snapshot` wrote.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is not a path.
            UnknownModelError: The snapshot has vectors, but none of a model of this engine.
            ModelNotFoundError: A model of the snapshot that would be taken over is not found.
            StoreCorruptError: The file is not a snapshot, is damaged, or has a later version.
            SpaceMismatchError: The vectors are of another model, profile or output.
            StoreError: The file cannot be read, or a store failed.
        """
        with Snapshot(target_path(path)) as snapshot:
            return self.copy_from(snapshot, progress=progress)

    @operation
    def export(
        self,
        path: str | os.PathLike[str],
        filter: Filter | None = None,
        *,
        progress: ProgressSink = False,
    ) -> int:
        """Write images to a file for other programs, in bounded memory; return their number.

        The ending of the file decides: `.parquet` holds records and vectors, a column for each
        model, and `import_from` reads it back (extra `[arrow]`). `.csv` and `.jsonl` hold the
        records.

        Args:
            path: The file. An existing one is replaced when the new one is complete.
            filter: Keeps only images whose metadata match.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` has another ending or is a folder, `filter` is not a
                filter, or a `.csv` file would have more than 1,000 metadata fields.
            MissingExtraError: pyarrow is not installed.
            StoreError: The file cannot be written, or a store failed.

        Example:
            >>> engine.export("album.parquet")
            >>> engine.export("best.csv", F("rating") == 5)
        """
        return save_export(self._catalog, path, filter, progress)

    @operation
    def import_from(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the images of a `.parquet` file that `export` wrote, without running a model.

        Images are stored as by `copy_to`: those with the same id are replaced, equal ones are
        skipped. An engine that was opened without embedders, and has no images yet, takes over
        the models of the file, as `load_snapshot` does. The file may come from an untrusted
        source.

        Args:
            path: The file.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is not a path.
            MissingExtraError: pyarrow is not installed.
            UnknownModelError: The file has vectors, but none of a model of this engine.
            ModelNotFoundError: A model of the file that would be taken over is not found.
            StoreCorruptError: The file is not an export, is damaged, or has a later version.
            SpaceMismatchError: The vectors are of another model, profile or output.
            StoreError: The file cannot be read, or a store failed.
        """
        with ParquetExport(target_path(path)) as source:
            return self.copy_from(source, progress=progress)

    @joint_operation("search")
    def _search_together(
        self, searches: Sequence[Mapping[str, Any]]
    ) -> Sequence[SearchResults | Exception]:
        """Answer calls of `search` at once, each as if it were alone; for `AsyncSearchEngine`."""
        return self._joint_search.answer(searches)

    def _pipeline(self) -> Pipeline:
        embedders = list(self._embedders.values())
        return Pipeline(self._catalog, embedders, self._workers, self._batch_size, self._reading)

    def _backfill(self, embedder: Embedder) -> Backfill:
        return Backfill(self._catalog, embedder, self._workers, self._batch_size, self._reading)

    def _collection(self, model: str | None) -> str:
        return self._catalog.collection(self._embedders.named(model).name)

    def __repr__(self) -> str:
        closed = ", closed" if self._lifetime.is_over else ""
        return f"<SearchEngine {', '.join(self._embedders)}{closed}>"
