"""The facade: embedders, a vector store and a metadata store as one search engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast
from uuid import uuid4

import numpy as np

from onnxsearch.comparison import Answer, Comparison
from onnxsearch.consistency import Catalog, Item
from onnxsearch.cores import available_cores
from onnxsearch.duplicates import Threshold, calibrate, clusters
from onnxsearch.embedders.base import Embedder
from onnxsearch.errors import ClosedError, InvalidArgumentError, UnknownModelError
from onnxsearch.evaluation import Evaluation, Judge, Truth
from onnxsearch.fusion import as_fusion
from onnxsearch.images.decode import READ_STRICTLY, ReadPolicy, open_image
from onnxsearch.indexing import Pipeline
from onnxsearch.migration import Backfill, check_complete, drop_model, whereabouts
from onnxsearch.parallel import batched, ordered_map
from onnxsearch.queries import Query, Reader
from onnxsearch.recall import recall_at
from onnxsearch.records import absolute, check_id, check_metadata
from onnxsearch.retrieval import Retrieval, Selection
from onnxsearch.snapshot import Snapshot, save_snapshot
from onnxsearch.sources import read_source
from onnxsearch.transfer import CatalogSource, TransferReport, transfer
from onnxsearch.types import (
    ImageInput,
    IndexReport,
    Metadata,
    Record,
    SearchResults,
)
from onnxsearch.vectors.base import CollectionSpec
from onnxsearch.verification import VerifyReport, verify

if TYPE_CHECKING:
    from onnxsearch.evaluation import Labels
    from onnxsearch.filters import Filter
    from onnxsearch.fusion import FusionChoice
    from onnxsearch.measures import Estimate
    from onnxsearch.metadata.base import MetadataStore
    from onnxsearch.progress import ProgressSink
    from onnxsearch.queries import QueryInput
    from onnxsearch.survey import MetadataSource
    from onnxsearch.vectors.base import Vectors, VectorStore

DEFAULT_NAMESPACE = "onnxsearch"


class SearchEngine:
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
        self._workers = available_cores() if workers is None else workers
        self._batch_size = batch_size
        self._reading = reading
        for name in ("workers", "batch_size"):
            value = getattr(self, f"_{name}")
            if value < 1:
                raise InvalidArgumentError(f"{name} {value}: expected at least 1")
        self._catalog = Catalog(vectors, metadata, namespace)
        self._retrieval = Retrieval(self._catalog, vectors)
        self._reader = Reader(self._catalog, vectors, reading)
        self._owned: list[Embedder | VectorStore | MetadataStore] = []
        self._closed = False
        for embedder in self._embedders.values():
            self._ensure_collection(embedder)
        self._catalog.recover()

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        embedders: Embedder | Sequence[Embedder] | None = None,
        metadata: str | os.PathLike[str] | None = None,
        namespace: str = DEFAULT_NAMESPACE,
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
            engine = cls(embedders, *stores, namespace=namespace)
        except BaseException:
            _close_all(owned)
            raise
        engine._owned = owned
        return engine

    @property
    def models(self) -> list[str]:
        """Names of the models, the default one first."""
        return list(self._embedders)

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
            metadata: Metadata for all files, or a function from `Path` to a file's.
                None leaves what is stored of it.
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
            id: Any string. By default the absolute path, or for pictures without
                one a new random id.
            metadata: What to remember of it: whatever JSON can say.

        Raises:
            ImageError: The picture cannot be used.
            InvalidArgumentError: `id` or `metadata` is not as said.
            EmbeddingError: A model gave no usable vector.
            StoreError: A store failed; the picture is not stored.
        """
        self._check_open()
        uri = absolute(image) if isinstance(image, str | os.PathLike) else None
        record = Record(
            id=check_id(id if id is not None else uri or uuid4().hex),
            uri=uri,
            metadata=check_metadata(metadata),
            models=tuple(self._embedders),
        )
        picture = open_image(image if uri is None else uri, self._reading)
        vectors = {name: e.embed(picture)[0] for name, e in self._embedders.items()}
        self._catalog.put([Item(record, vectors)])
        return record.id

    def search(
        self,
        query: QueryInput | None = None,
        *,
        text: str | None = None,
        model: str | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice = "rrf",
        limit: int = 10,
        offset: int = 0,
        filter: Filter | None = None,
        max_distance: float | None = None,
        group_by: str | None = None,
        diversity: float = 0.0,
    ) -> SearchResults:
        """Return the pictures that are most like the query, nearest first.

        Args:
            query: A picture, or the path of one; or a `Query`: a stored picture by its
                id, a text, a vector, several examples. A picture need not be stored; if
                it is, it comes first, at distance 0.
            text: Short for `Query.text(text)`.
            model: Name of the model to search with; by default the first one.
            models: Names of several models instead, whose rankings are fused. A fused
                hit's distance is 1 - score, with a score from 0 to 1.
            fusion: How: `"rrf"`, `"scores"`, or a `Fusion` with weights.
            limit: How many pictures, at least 1. An engine with fewer gives all.
            offset: How many of the nearest to leave out, for the next page.
            filter: Leaves only pictures whose metadata match.
            max_distance: Leaves only pictures that are not further away.
            group_by: A metadata field: of the pictures with the same value only the
                nearest is given. A picture without that field stands for itself.
            diversity: Above 0, hits are chosen to be near the query and unlike each
                other, by maximal marginal relevance, and come in the order they were
                chosen; 1 cares for unlikeness only. For one model.

        Raises:
            ImageError: The picture cannot be used.
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
        self._check_open()
        query = _one_query(query, text)
        selection = Selection(limit, offset, filter, max_distance, group_by, diversity)
        if models is None:
            embedder = self._embedder(model)
            row = self._reader.vectors(query, [embedder])[embedder.name]
            return self._retrieval.search(embedder, row[np.newaxis], selection)[0]
        if model is not None or max_distance is not None or diversity:
            raise InvalidArgumentError(
                "models=[...] does not go with model, max_distance or diversity: those speak of "
                "one model's distances"
            )
        several = self._several(models)
        rows = self._reader.vectors(query, several)
        return self._retrieval.fused(several, rows, as_fusion(fusion), selection)

    def search_many(
        self,
        images: Iterable[ImageInput],
        *,
        model: str | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Iterator[SearchResults]:
        """Yield for each picture what `search` returns for it, in order.

        Much faster than one `search` after another: all cores embed, and the store
        is asked for many at once. Pictures are taken from an iterator as they are
        needed, and memory stays bounded.

        Raises:
            ImageError: A picture cannot be used; results of earlier ones were yielded.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: `limit` is below 1, or `images` is a single picture.
            StoreError: A store failed.
        """
        self._check_open()
        embedder = self._embedder(model)
        selection = Selection(limit, filter=filter)
        if isinstance(images, str | bytes | os.PathLike) or not isinstance(images, Iterable):
            raise InvalidArgumentError(
                f"search_many was given a {type(images).__name__}: expected an iterable of "
                "pictures. For one picture use search()"
            )
        return self._search_many(embedder, images, selection)

    def _search_many(
        self, embedder: Embedder, images: Iterable[ImageInput], selection: Selection
    ) -> Iterator[SearchResults]:
        view = embedder.parallel(self._workers)
        batches = batched(images, self._batch_size)
        matrices = ordered_map(lambda b: self._embed(view, b), batches, workers=self._workers)
        for matrix in matrices:
            yield from self._retrieval.search(embedder, matrix, selection)

    def compare(
        self,
        query: QueryInput | Sequence[QueryInput],
        *,
        models: Sequence[str] | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> Comparison:
        """Ask several models the same, and tell how far their answers agree.

        A picture is decoded once for all models.

        Args:
            query: What `search` takes; or a list of such queries, whose measures are
                averaged.
            models: Names of the models, at least two; by default all.
            limit: How many pictures of each model. An engine with fewer gives all.
            filter: Leaves only pictures whose metadata match.

        Raises:
            ImageError: A picture cannot be used.
            UnknownModelError: There is no model of that name.
            InvalidArgumentError: There are fewer than two models, or no query.
            StoreError: A store failed.

        Example:
            >>> comparison = engine.compare("query.jpg", limit=10)
            >>> comparison.results["vgg16"][0].distance
            >>> comparison.overlap(5)
        """
        self._check_open()
        several = self._several(models)
        # A text is a sequence too, of texts.
        queries = query if isinstance(query, list | tuple) else [cast("QueryInput", query)]
        if len(several) < 2 or not queries:
            raise InvalidArgumentError(
                f"compare was given {len(queries)} queries and {len(several)} models: expected at "
                "least one query, and two models to compare"
            )
        selection = Selection(limit, filter=filter)
        answers = [self._answer(each, several, selection) for each in queries]
        return Comparison(tuple(answers), limit)

    def _answer(
        self, query: QueryInput, embedders: Sequence[Embedder], selection: Selection
    ) -> Answer:
        rows = self._reader.vectors(query, embedders)
        return Answer(
            query,
            {
                e.name: self._retrieval.search(e, rows[e.name][np.newaxis], selection)[0]
                for e in embedders
            },
        )

    def evaluate(
        self,
        labels: Labels | None = None,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice = "rrf",
        k: Sequence[int] = (1, 5, 10),
        depth: int | None = None,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Measure how well each model, and their fusion, finds what belongs together.

        Each labelled picture is searched for among all others that have a label; those
        with the same label are the right answers. Stored vectors are used: no model runs.

        Args:
            labels: Label by id; or the name of a metadata field; or a function that
                tells a record's. None stands for not known.
            pairs: Instead of labels, pairs of ids, each a right answer to the other,
                among the whole album.
            models: Names of the models; by default all.
            fusion: How several models' rankings are fused.
            k: Ranks at which precision and recall are cut.
            depth: How many ranks are looked at; by default all, which takes time in
                the square of the album. (Milvus gives 16,384 at most.)
            confidence: Of the bootstrap intervals.
            resamples: How many times queries are drawn for them.
            seed: Of those draws.

        Raises:
            InvalidArgumentError: Not exactly one of `labels` and `pairs` is given, no
                two pictures belong together, or an id is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> evaluation = engine.evaluate(lambda record: Path(record.uri).parent.name)
            >>> evaluation.scores["vgg16"].mean_average_precision.value
        """
        self._check_open()
        judge = Judge(self._retrieval, self._several(models), as_fusion(fusion), k, depth)
        ledger = self._catalog.ledger
        if labels is not None and pairs is None:
            truth = Truth.of_labels(labels, ledger)
        elif pairs is not None and labels is None:
            truth = Truth.of_pairs(pairs, ledger)
        else:
            raise InvalidArgumentError("evaluate needs either labels or pairs, and not both")
        return judge.evaluate(truth, confidence=confidence, resamples=resamples, seed=seed)

    def recall(
        self, *, model: str | None = None, limit: int = 10, sample: int = 100, seed: int = 0
    ) -> Estimate:
        """Return which share of the truly nearest pictures the vector store finds.

        Stored pictures are searched for, and the answers compared with exact ones, for
        which every vector is read once. Exact indexes give 1.

        Args:
            model: Name of the model; by default the first one.
            limit: How many nearest pictures.
            sample: How many pictures to search for, drawn at random.
            seed: Of that draw.

        Returns:
            The mean over the sample, with a 95 % interval.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is below 1.
            StoreError: A store failed.
        """
        self._check_open()
        collection = self._catalog.collection(self._embedder(model).name)
        return recall_at(self._retrieval.vectors, collection, limit=limit, sample=sample, seed=seed)

    def duplicates(self, max_distance: float, *, model: str | None = None) -> list[tuple[str, ...]]:
        """Return groups of pictures that are nearly the same.

        Two pictures are of one group if they are at most `max_distance` apart, or if
        others between them are. Each picture is searched for once.

        Args:
            max_distance: See `duplicate_threshold`. What is apart by rounding only, as
                copies of a file are, is found with 0.001.
            model: Name of the model; by default the first one.

        Returns:
            Ids by group, the largest group first; pictures that stand alone are left out.

        Raises:
            InvalidArgumentError: `max_distance` is NaN.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> for group in engine.duplicates(max_distance=0.25):
            ...     print(*group)
        """
        self._check_open()
        return clusters(self._retrieval, self._embedder(model), max_distance)

    def duplicate_threshold(
        self, pairs: Iterable[tuple[str, str]], *, model: str | None = None
    ) -> Threshold:
        """Find the `max_distance` for `duplicates` from pairs that are known.

        It is the distance that best parts the pairs from the nearest pictures that are
        not known to belong together (greatest F1).

        Args:
            pairs: Ids of stored pictures that are nearly the same. Give all partners of
                a picture, since others count as wrong.
            model: Name of the model; by default the first one.

        Raises:
            InvalidArgumentError: There is no pair, or a picture is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.
        """
        self._check_open()
        return calibrate(self._retrieval, self._embedder(model), pairs)

    def backfill(self, model: str, *, progress: ProgressSink = False) -> IndexReport:
        """Give stored pictures the vectors of a model that came after them.

        Only files that lack it are read; vectors of other models stay. A run that was
        stopped goes on where it ended.

        Args:
            model: Name of one of the engine's models.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each picture.

        Returns:
            A report with an outcome for each picture that lacked the model. Those whose
            file is gone or has changed, and those that never had one, are failures.

        Raises:
            UnknownModelError: There is no model of that name.
            StoreError: A store failed; what was stored until then stays.

        Example:
            >>> with SearchEngine.open("album", embedders=[old, resnet50]) as engine:
            ...     engine.backfill("resnet50", progress=True)
        """
        self._check_open()
        backfill = Backfill(
            self._catalog, self._embedder(model), self._workers, self._batch_size, self._reading
        )
        return backfill.run(progress)

    def drop_model(self, model: str) -> None:
        """Take a model out of the engine, with its vectors; pictures and records stay.

        It may be one that an earlier engine left behind. Writes of other processes
        that still use the model fail from then on.

        Raises:
            UnknownModelError: Neither the engine nor its stores know the model.
            InvalidArgumentError: It is the engine's only model.
            StoreError: A store failed; calling this again goes on.
        """
        self._check_open()
        if model not in self._embedders and (
            self._catalog.collection(model) not in self._catalog.collections()
        ):
            self._embedder(model)
        if list(self._embedders) == [model]:
            raise InvalidArgumentError(
                f"{model!r} is the engine's only model: migrate() replaces it by another one"
            )
        self._embedders = {name: e for name, e in self._embedders.items() if name != model}
        drop_model(self._catalog, model)

    def migrate(
        self, old: str, new: str | Embedder, *, progress: ProgressSink = False
    ) -> IndexReport:
        """Replace a model by another one, while the old one serves.

        The new model's vectors are built beside the old ones (pictures added meanwhile
        get both), every picture is checked to have one, the engine switches, and the
        old vectors are dropped. If this is stopped at any point, the old model goes on
        serving, and the next call finishes. No other process should be writing: it knows
        the old model only.

        Args:
            old: Name of the model to replace.
            new: The model in its place: an embedder of another name, or the name of
                one that the engine has.
            progress: As in `backfill`.

        Returns:
            The report of `backfill`.

        Raises:
            ModelError: A picture cannot get a vector of the new model; nothing was
                dropped.
            UnknownModelError: There is no such model.
            InvalidArgumentError: Both are of one name.
            StoreError: A store failed.
        """
        self._check_open()
        name = new if isinstance(new, str) else new.name
        if name == old:
            raise InvalidArgumentError(
                f"both models are named {old!r}: give the new one another name, as in "
                "OnnxEmbedder(path, name='mine')"
            )
        if isinstance(new, Embedder) and name not in self._embedders:
            self._add_model(new, after=old)
        report = self.backfill(name, progress=progress)
        check_complete(self._catalog, name)
        self.drop_model(old)
        return report

    def get(self, id: str) -> Record | None:
        """Return what is stored under `id`, or None."""
        self._check_open()
        stored = self._catalog.ledger.find([check_id(id)]).get(id)
        return stored.record if stored else None

    def remove(self, id: str | Iterable[str]) -> list[str]:
        """Remove pictures from all models; return the ids that were there.

        When this returns, they are never found again, also after a crash. Ids that
        are not there are passed over.

        Raises:
            StoreError: A store failed.
        """
        self._check_open()
        ids = (check_id(each) for each in ([id] if isinstance(id, str) else id))
        return [gone for batch in batched(ids, 256) for gone in self._catalog.remove(batch)]

    def count(self) -> int:
        """Return how many pictures are stored."""
        self._check_open()
        return self._catalog.ledger.count()

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
            StoreCorruptError: A record cannot be read.
            StoreError: A store failed.
        """
        self._check_open()
        return verify(self._catalog, repair=repair)

    def copy_to(self, other: SearchEngine, *, progress: ProgressSink = False) -> TransferReport:
        """Copy all pictures into another engine, on whatever stores: no model runs.

        Pictures of `other` with the same id are replaced, all else stays. What is there
        already and equal is passed over, so a copy that was stopped goes on where it
        ended. Takes bounded memory.

        Args:
            other: Where to.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each 256 pictures.

        Raises:
            SpaceMismatchError: `other` has vectors of another space under the name of
                one of the models.
            StoreError: A store failed; what was copied until then stays.

        Example:
            >>> with SearchEngine.open("album") as here:
            ...     with SearchEngine.open("http://milvus:19530", metadata=redis_url) as there:
            ...         here.copy_to(there, progress=True)
        """
        self._check_open()
        other._check_open()
        return transfer(CatalogSource(self._catalog), other._catalog, progress)

    def save_snapshot(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> int:
        """Write all pictures, records and vectors, to one portable file; return how many.

        A picture that is replaced meanwhile is in it as it was or as it is, but whole.

        Args:
            path: The file, a zip; an existing one is replaced when the new one is whole.
            progress: As for `copy_to`.

        Raises:
            StoreError: The file cannot be written, or a store failed.
        """
        self._check_open()
        return save_snapshot(CatalogSource(self._catalog), Path(absolute(path)), progress)

    def load_snapshot(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the pictures of a snapshot, as `copy_to` would have; no model runs.

        The file may come from anybody: whatever it holds, the worst is an error.

        Args:
            path: A file that `save_snapshot` wrote.
            progress: As for `copy_to`.

        Raises:
            StoreCorruptError: It is no snapshot, or damaged, or of a later version.
            SpaceMismatchError: Its vectors are of another model, profile or output.
            StoreError: It cannot be read, or a store failed.
        """
        self._check_open()
        with Snapshot(Path(absolute(path))) as snapshot:
            return transfer(snapshot, self._catalog, progress)

    def close(self) -> None:
        """Release what `open` made; closing twice is harmless.

        Do not close while another thread is using the engine.
        """
        self._closed = True
        owned, self._owned = self._owned, []
        _close_all(owned)

    def _embed(self, embedder: Embedder, images: Iterable[ImageInput]) -> Vectors:
        opened = (open_image(image, self._reading) for image in images)
        return embedder.embed(opened, batch_size=self._batch_size)

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
        if self._closed:
            raise ClosedError("this engine was closed: open a new one")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SearchEngine {', '.join(self._embedders)}{', closed' if self._closed else ''}>"


def _one_query(query: QueryInput | None, text: str | None) -> QueryInput:
    if text is not None and query is None:
        return Query.text(text)
    if query is None or text is not None:
        given = "no query" if query is None else "two queries, a text among them"
        raise InvalidArgumentError(
            f"search was given {given}: expected a picture, a Query, or text=..."
        )
    return query


def _by_name(embedders: Embedder | Sequence[Embedder]) -> dict[str, Embedder]:
    sequence = [embedders] if isinstance(embedders, Embedder) else list(embedders)
    if not sequence:
        raise InvalidArgumentError("no embedder was given: expected at least one")
    by_name = {embedder.name: embedder for embedder in sequence}
    if len(by_name) < len(sequence):
        raise InvalidArgumentError(
            f"two embedders have the same name ({', '.join(e.name for e in sequence)}): give each "
            "its own, as in OnnxEmbedder(path, name='mine')"
        )
    return by_name


def _close_all(owned: Iterable[Embedder | VectorStore | MetadataStore]) -> None:
    for thing in owned:
        thing.close()
