"""The search engine facade: every operation, handed to one collaborator."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from onnxsearch._internal.closeable import Closeable
from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.lifetime import Lifetime, close_all
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import instance, integer
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.integrity import verify
from onnxsearch.catalog.keys import check_id, check_ids
from onnxsearch.catalog.snapshot import Snapshot, save_snapshot
from onnxsearch.catalog.transfer import CatalogSource, copy, transfer
from onnxsearch.embedders.registry import EmbedderRegistry
from onnxsearch.evaluation.comparison import compare
from onnxsearch.evaluation.evaluator import Evaluator
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.index_recall import index_recall
from onnxsearch.evaluation.index_tuning import tune
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.indexing.addition import add_image
from onnxsearch.indexing.backfill import Backfill
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.migration import begin_migration, drop_model, migrate
from onnxsearch.indexing.pipeline import Pipeline
from onnxsearch.indexing.spaces import ensure_collections
from onnxsearch.locations import open_stores
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.search.fusion import as_fusion
from onnxsearch.search.near_duplicates import calibrate, clusters
from onnxsearch.search.query_encoder import QueryEncoder
from onnxsearch.search.retriever import Retriever, Selection
from onnxsearch.search.searcher import Searcher, one_query
from onnxsearch.vectors.base import VectorStore

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.catalog.integrity_report import VerifyReport
    from onnxsearch.catalog.transfer import ImageSource, ImageTarget, TransferReport
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.evaluation.bootstrap import Estimate
    from onnxsearch.evaluation.comparison import Comparison
    from onnxsearch.evaluation.evaluator import Evaluation
    from onnxsearch.evaluation.ground_truth import Labels
    from onnxsearch.evaluation.index_tuning import Tuning
    from onnxsearch.filters import Filter
    from onnxsearch.indexing.change_detection import MetadataSource
    from onnxsearch.search.fusion import FusionChoice
    from onnxsearch.search.near_duplicates import Threshold
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.results import SearchResults
    from onnxsearch.types import ImageInput, IndexReport, Metadata, Record

DEFAULT_NAMESPACE = "onnxsearch"

_REMOVED = 256
"""Images removed with one commit."""


class SearchEngine(Closeable):
    """Finds similar images.

    Images are embedded by every embedder; their vectors lie in `vectors`, one
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
        batch_size: Images that a worker embeds at once. 4 is as fast as any on a
            CPU and keeps memory small; a GPU wants 32 or more.
        reading: How image files are opened: what is too large, what too damaged.

    Raises:
        InvalidArgumentError: No embedder, or two of one name, or an argument is not
            as said.
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
    ) -> None:
        instance("vectors", vectors, VectorStore, "a VectorStore")
        instance("metadata", metadata, MetadataStore, "a MetadataStore")
        instance("reading", reading, ReadPolicy, "a ReadPolicy")
        self._catalog = Catalog(vectors, metadata, namespace)
        self._embedders = EmbedderRegistry(embedders, self._catalog.whereabouts)
        self._workers = (
            available_cores() if workers is None else integer("workers", workers, least=1)
        )
        self._batch_size = integer("batch_size", batch_size, least=1)
        self._reading = reading
        self._retriever = Retriever(self._catalog, vectors, reading)
        encoder = QueryEncoder(self._catalog, vectors, reading)
        self._searcher = Searcher(
            self._embedders, encoder, self._retriever, self._workers, self._batch_size
        )
        self._lifetime = Lifetime("this engine")
        # Compare first: whatever comes later may delete vectors.
        self._catalog.identity.open(self._embedders)
        # Recover next: it may still have to drop one of these collections.
        self._catalog.recover()
        ensure_collections(self._catalog, self._embedders.values(), reading)

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
            ...     engine.index("~/Images", progress=True)
            ...     engine.search("query.jpg", limit=5)
        """
        owned: list[Embedder | VectorStore | MetadataStore] = []
        try:
            if embedders is None:
                embedders = _bundled_embedder()
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
        engine._lifetime.own(owned)
        return engine

    @property
    def models(self) -> list[str]:
        """Names of the models, the default one first."""
        return list(self._embedders)

    def close(self) -> None:
        """Release what `open` made; closing twice is harmless.

        Do not close while another thread is using the engine.
        """
        self._lifetime.end()

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
    ) -> IndexReport:
        """Index files; tell of each what became of it.

        Files that are stored already and have not changed are skipped, so a run
        that was stopped goes on where it ended. No file stops the run. A file that
        is byte for byte the same as another one is not stored again.

        Args:
            source: A folder (with all below it), a file, or an iterable of files.
                A file's id is its absolute path.
            metadata: Metadata for all files, or a function from `Path` to a file's, of
                1 MiB as JSON at most. None leaves what is stored of it.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each file.
            prune: Also remove images whose file under the folder is gone. A folder that
                held images and now holds none is refused, since a drive that is not
                mounted looks like that.
            allow_empty: With `prune`, accept such folders, and a source that does not exist.
            exclude: Patterns as in a `.gitignore` file, relative to the folder; files and
                folders that match are skipped. Needs the extra `[patterns]`.
            include_hidden: Also index files and folders whose name begins with a dot.

        Returns:
            A report with one outcome per file, in the order they were met. Hidden files,
            files of the system, linked folders and files that are not images are skipped.

        Raises:
            ImageNotFoundError: There is no such folder or file.
            EmptySourceError: The folder holds no file.
            InvalidArgumentError: An argument is not as said.
            StoreError: A store failed; what was stored until then stays.

        Example:
            >>> report = engine.index("~/Images")
            >>> report.counts["indexed"], report.failures
        """
        self._lifetime.check()
        excluded = Exclusion(exclude, include_hidden=include_hidden)
        files = read_source(source, excluded, allow_empty=prune and allow_empty)
        return self._pipeline().run(files, metadata, progress, prune=prune, allow_empty=allow_empty)

    def add(
        self, image: ImageInput, *, id: str | None = None, metadata: Metadata | None = None
    ) -> str:
        """Store one image, in place of what its id held before; return the id.

        When this returns, the image is found, also after a crash.

        Args:
            image: An image, or the path of one.
            id: Any string of up to 65,536 characters. By default the absolute path, or
                for images without one a new random id.
            metadata: What to remember of it: whatever JSON can say in 1 MiB.

        Raises:
            ImageError: The image cannot be used.
            InvalidArgumentError: `id` or `metadata` is not as said.
            EmbeddingError: A model gave no usable vector.
            StoreError: A store failed; the image is not stored.
        """
        self._lifetime.check()
        return add_image(
            self._catalog, self._embedders, self._reading, image, id=id, metadata=metadata
        )

    def get(self, id: str) -> Record | None:
        """Return what is stored under `id`, or None."""
        self._lifetime.check()
        stored = self._catalog.records.find([check_id(id)]).get(id)
        return stored.record if stored else None

    def remove(self, id: str | Iterable[str]) -> list[str]:
        """Remove images from all models; return the ids that were there.

        When this returns, they are never found again, also after a crash. Ids that
        are not there are skipped.

        Raises:
            InvalidArgumentError: One is no id; none was removed.
            StoreError: A store failed.
        """
        self._lifetime.check()
        batches = batched(check_ids(id), _REMOVED)
        return [gone for batch in batches for gone in self._catalog.remove(batch)]

    def count(self) -> int:
        """Return how many images are stored."""
        self._lifetime.check()
        return self._catalog.records.count()

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
        max_distance: float | None = None,
        group_by: str | None = None,
        diversity: float = 0.0,
    ) -> SearchResults:
        """Return the images that are most like the query, nearest first.

        Args:
            query: An image, or the path of one; or a `Query`: a stored image by its
                id, a text, a vector, several examples. An image need not be stored; if
                it is, it comes first, at distance 0.
            text: Short for `Query.text(text)`.
            model: Name of the model to search with; by default the first one.
            models: Names of several models instead, whose rankings are fused. A fused
                hit's distance is 1 - score, with a score from 0 to 1. The first 400
                ranks of each model are fused; where that is too few, hits of the next
                1,200 come after them, and so on. So pages continue each other.
            fusion: How they are fused: `"rrf"` (the default), `"scores"`, or a `Fusion`
                with weights. Only with `models`.
            limit: How many images, at least 1. An engine with fewer gives all.
            offset: How many of the nearest to leave out, for the next page.
            filter: Leaves only images whose metadata match.
            max_distance: Leaves only images that are not further away.
            group_by: A metadata field: of the images with the same value only the
                nearest is given. An image without that field stands for itself.
            diversity: Above 0, hits are chosen to be near the query and unlike each
                other, by maximal marginal relevance, and come in the order they were
                chosen; 1 cares for unlikeness only. The nearest 100 are reordered, then
                the next 100, and so on. For one model.

        Raises:
            ImageError: The image cannot be used.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: Not exactly one query was given, or an argument is
                not as said.
            StoreError: A store failed.

        Example:
            >>> for hit in engine.search("query.jpg", limit=5):
            ...     print(f"{hit.distance:.3f}  {hit.uri}")
            >>> engine.search(Query.examples(like=["rose.jpg"], unlike=["cactus.jpg"]))
            >>> engine.search("query.jpg", models=["vgg16", "resnet50"])
        """
        self._lifetime.check()
        selection = Selection(limit, offset, filter, max_distance, group_by, diversity)
        return self._searcher.search(
            one_query(query, text), selection, model=model, models=models, fusion=fusion
        )

    def search_many(
        self,
        images: Iterable[ImageInput],
        *,
        model: str | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Iterator[SearchResults]:
        """Yield for each image what `search` returns for it, in order.

        Much faster than one `search` after another: all cores embed, and the store
        is asked for many at once. Images are taken from an iterator as they are
        needed, and memory stays bounded.

        Raises:
            ImageError: An image cannot be used; results of earlier ones were yielded.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: `limit` is below 1, or `images` is a single image.
            StoreError: A store failed.
        """
        self._lifetime.check()
        return self._searcher.search_many(images, Selection(limit, filter=filter), model=model)

    def compare(
        self,
        query: QueryInput | Sequence[QueryInput],
        *,
        models: Sequence[str] | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Comparison:
        """Ask several models the same, and tell how far their answers agree.

        An image is decoded once for all models.

        Args:
            query: What `search` takes; or a list of such queries, whose measures are
                averaged.
            models: Names of the models, at least two; by default all.
            limit: How many images of each model. An engine with fewer gives all.
            filter: Leaves only images whose metadata match.

        Raises:
            ImageError: An image cannot be used.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: There are fewer than two models, or no query.
            StoreError: A store failed.

        Example:
            >>> comparison = engine.compare("query.jpg", limit=10)
            >>> comparison.results["vgg16"][0].distance
            >>> comparison.overlap(5)
        """
        self._lifetime.check()
        selection = Selection(limit, filter=filter)
        return compare(self._searcher, query, self._embedders.selected(models), selection)

    def evaluate(
        self,
        labels: Labels | None = None,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice | None = None,
        k: Sequence[int] = (1, 5, 10),
        depth: int | None = None,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Measure how well each model, and their fusion, finds what belongs together.

        Each labelled image is searched for among all others that have a label; those
        with the same label are the right answers. Stored vectors are used: no model runs.

        Args:
            labels: Label by id; or the name of a metadata field; or a function that
                tells a record's. None stands for not known.
            pairs: Instead of labels, pairs of ids, each a right answer to the other,
                among the whole album.
            models: Names of the models; by default all.
            fusion: How several models' rankings are fused, as `search` fuses them: by
                default `"rrf"`.
            k: Ranks at which precision and recall are cut.
            depth: How many ranks are looked at, among the images that are ranked, the
                query not counted; by default all, which takes time in the square of the
                album. (Milvus gives 16,384 rows at most.)
            confidence: Of the bootstrap intervals.
            resamples: How many times queries are drawn for them.
            seed: Of those draws.

        Raises:
            InvalidArgumentError: Not exactly one of `labels` and `pairs` is given, no
                two images belong together, or an id is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> evaluation = engine.evaluate(lambda record: Path(record.uri).parent.name)
            >>> evaluation.scores["vgg16"].mean_average_precision.value
        """
        self._lifetime.check()
        embedders = self._embedders.selected(models)
        evaluator = Evaluator(self._retriever, embedders, as_fusion(fusion), k, depth)
        truth = GroundTruth.of(self._catalog.records, labels=labels, pairs=pairs)
        return evaluator.evaluate(truth, confidence=confidence, resamples=resamples, seed=seed)

    def recall(
        self, *, model: str | None = None, limit: int = 10, sample: int = 100, seed: int = 0
    ) -> Estimate:
        """Return which share of the truly nearest images the vector store finds.

        Stored images are searched for among all others, and the answers compared with
        exact ones, for which every vector is read once. Exact indexes give 1.

        Args:
            model: Name of the model; by default the first one.
            limit: How many nearest images.
            sample: How many images to search for, drawn at random.
            seed: Of that draw.

        Returns:
            The mean over the sample, with a 95 % interval.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is below 1.
            StoreError: A store failed.
        """
        self._lifetime.check()
        store, collection = self._catalog.vectors, self._collection(model)
        return index_recall(store, collection, limit=limit, sample=sample, seed=seed)

    def tune(
        self,
        target_recall: float,
        *,
        model: str | None = None,
        limit: int = 10,
        sample: int = 100,
        seed: int = 0,
    ) -> Tuning:
        """Propose how to search an approximate index, so that it finds what it should.

        The ways in which the store can search the index that is there are measured as by
        `recall`, the cheapest first, until one reaches the target: for Milvus, more
        candidates of a graph or more lists. Exact answers are worked out once. Nothing is
        changed: open the store with the index proposed. Indexes are built in the
        background, and rows not yet in them are searched exactly: wait until it is done.

        Args:
            target_recall: The share of the truly nearest to be found, above 0, at most 1.
            model: Name of the model; by default the first one.
            limit: How many nearest images.
            sample: How many images to search for, drawn at random.
            seed: Of that draw.

        Returns:
            What was measured, and the cheapest that reaches the target; if none does, the
            best. A store with nothing to choose is measured as it is.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is out of its range.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> store.wait_until_indexed(store.collections()[0])
            >>> tuning = engine.tune(0.99)
            >>> store = MilvusVectorStore("http://localhost:19530", index=tuning.index)
        """
        self._lifetime.check()
        store, collection = self._catalog.vectors, self._collection(model)
        return tune(store, collection, target_recall, limit=limit, sample=sample, seed=seed)

    def duplicates(self, max_distance: float, *, model: str | None = None) -> list[tuple[str, ...]]:
        """Return groups of images that are nearly the same.

        Two images are of one group if they are at most `max_distance` apart, or if
        others between them are. Each image is searched for once.

        Args:
            max_distance: See `duplicate_threshold`. What is apart by rounding only, as
                copies of a file are, is found with 0.001.
            model: Name of the model; by default the first one.

        Returns:
            Ids by group, the largest group first; images that stand alone are left out.

        Raises:
            InvalidArgumentError: `max_distance` is NaN.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> for group in engine.duplicates(max_distance=0.25):
            ...     print(*group)
        """
        self._lifetime.check()
        return clusters(self._retriever, self._embedders.named(model), max_distance)

    def duplicate_threshold(
        self, pairs: Iterable[tuple[str, str]], *, model: str | None = None
    ) -> Threshold:
        """Find the `max_distance` for `duplicates` from pairs that are known.

        It is the distance that best parts the pairs from the nearest images that are
        not known to belong together (greatest F1).

        Args:
            pairs: Ids of stored images that are nearly the same. Give all partners of
                an image, since others count as wrong.
            model: Name of the model; by default the first one.

        Raises:
            InvalidArgumentError: There is no pair, or an image is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.
        """
        self._lifetime.check()
        return calibrate(self._retriever, self._embedders.named(model), pairs)

    def backfill(self, model: str, *, progress: ProgressSink = False) -> IndexReport:
        """Give stored images the vectors of a model that came after them.

        Only files that lack it are read; vectors of other models stay. A run that was
        stopped goes on where it ended.

        Args:
            model: Name of one of the engine's models.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each image.

        Returns:
            A report with an outcome for each image that lacked the model. Those whose
            file is gone or has changed, and those that never had one, are failures.

        Raises:
            UnknownModelError: There is no model of that name.
            StoreError: A store failed; what was stored until then stays.

        Example:
            >>> with SearchEngine.open("album", embedders=[old, resnet50]) as engine:
            ...     engine.backfill("resnet50", progress=True)
        """
        self._lifetime.check()
        return self._backfill(self._embedders.named(model)).run(progress)

    def drop_model(self, model: str) -> None:
        """Take a model out of the engine, with its vectors; images and records stay.

        It may be one that an earlier engine left behind. Writes of other processes
        that still use the model fail from then on.

        Raises:
            UnknownModelError: Neither the engine nor its stores know the model.
            InvalidArgumentError: It is the engine's only model.
            StoreError: A store failed; calling this again goes on, and so does the
                engine that opens next.
        """
        self._lifetime.check()
        drop_model(self._catalog, self._embedders, model)

    def migrate(
        self, old: str, new: str | Embedder, *, progress: ProgressSink = False
    ) -> IndexReport:
        """Replace a model by another one, while the old one serves.

        The new model's vectors are built beside the old ones (images added meanwhile
        get both), every image is checked to have one, the engine switches, and the
        old vectors are dropped. If this is stopped before the switch, the old model goes
        on serving, and the next call finishes; if after it, the engine that opens next
        drops the old vectors. No other process should be writing: it knows the old model
        only.

        Args:
            old: Name of the model to replace.
            new: The model in its place: an embedder of another name, or the name of
                one that the engine has.
            progress: As in `backfill`.

        Returns:
            The report of `backfill`.

        Raises:
            ModelError: An image cannot get a vector of the new model; nothing was
                dropped.
            UnknownModelError: There is no such model.
            InvalidArgumentError: Both are of one name.
            StoreError: A store failed.
        """
        self._lifetime.check()
        embedder = begin_migration(self._catalog, self._embedders, old, new, self._reading)
        return migrate(self._embedders, old, self._backfill(embedder), progress)

    def verify(self, *, repair: bool = False) -> VerifyReport:
        """Check every vector against the records, and every record against the vectors.

        What a crash leaves behind is put right when an engine is made. This is for what
        that cannot know of: a store that lost writes, a backup of only one of the two,
        a collection that was dropped. It takes bounded memory, and the engine may be
        in use meanwhile, here and elsewhere.

        Args:
            repair: Also mend what is wrong, as `Defect` tells.

        Returns:
            A report with `.ok`, counts, and each defect found.

        Raises:
            StoreCorruptError: A journal entry, or the key of a vector, cannot be read.
            StoreError: A store failed.
        """
        self._lifetime.check()
        report = verify(self._catalog, repair=repair)
        if repair:
            ensure_collections(self._catalog, self._embedders.values(), self._reading)
        return report

    def copy_to(self, other: ImageTarget, *, progress: ProgressSink = False) -> TransferReport:
        """Copy all images into another engine, on whatever stores: no model runs.

        Images of `other` with the same id are replaced, all else stays. Where such a
        image is known to be the same (by `Record.content`, or without one by equal
        vectors), it keeps its vectors of models that are not here. What is there already
        and equal is skipped, so a copy that was stopped goes on where it ended. Takes
        bounded memory.

        Models that `other` has and this engine has not find the new images after
        `other.backfill(model)`.

        Args:
            other: Where to.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each 256 images.

        Raises:
            InvalidArgumentError: `other` is no engine, or has the same images: its
                metadata store and namespace are this engine's.
            UnknownModelError: `other` has none of the models whose vectors are here.
            SpaceMismatchError: `other` has vectors of another space under the name of
                one of the models. Like the errors above, it comes before anything is
                written.
            StoreError: A store failed; what was copied until then stays.

        Example:
            >>> with SearchEngine.open("album") as here:
            ...     with SearchEngine.open("http://milvus:19530", metadata=redis_url) as there:
            ...         here.copy_to(there, progress=True)
        """
        self._lifetime.check()
        return copy(CatalogSource(self._catalog), other, progress)

    def copy_from(self, source: ImageSource, *, progress: ProgressSink = False) -> TransferReport:
        """Store the images of a source, as `copy_to` and `load_snapshot` do.

        Args:
            source: Where the images come from.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: The source is this engine's own catalog.
            UnknownModelError: The source has vectors, but none of a model of this engine.
            SpaceMismatchError: The source has vectors of another model, profile or output.
            StoreError: A store failed; what was copied until then stays.
        """
        self._lifetime.check()
        return transfer(source, self._catalog, self.models, progress)

    def save_snapshot(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> int:
        """Write all images, records and vectors, to one portable file; return how many.

        An image that is replaced meanwhile is in it as it was or as it is, but whole.

        Args:
            path: The file, a zip; an existing one is replaced when the new one is whole
                and on disk. Until then it is written beside it, to a file that ends in
                ".part", which a killed process leaves behind.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is no path, or a folder's.
            StoreError: The file cannot be written, or a store failed.
        """
        self._lifetime.check()
        return save_snapshot(CatalogSource(self._catalog), target_path(path), progress)

    def load_snapshot(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the images of a snapshot, as `copy_to` would have; no model runs.

        The file may come from anybody: whatever it holds, the worst is an error.

        Args:
            path: A file that `save_snapshot` wrote.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is no path.
            UnknownModelError: It has vectors, but none of a model of this engine.
            StoreCorruptError: It is no snapshot, or damaged, or of a later version.
            SpaceMismatchError: Its vectors are of another model, profile or output.
            StoreError: It cannot be read, or a store failed.
        """
        self._lifetime.check()
        with Snapshot(target_path(path)) as snapshot:
            return self.copy_from(snapshot, progress=progress)

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


def _bundled_embedder() -> Embedder:
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder

    return OnnxEmbedder.bundled()
