"""Ray Data: images embedded by many processes, on one machine or several.

Ray hands images out in batches, and starts again what was killed. Each actor has an engine of
its own on the same stores, and stores a batch as `SearchEngine.add_many` does: the outcomes of a
batch return when its images are stored. A batch that is done once more finds what is stored
already, and embeds the rest.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

from onnxsearch import errors
from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.threads import batched
from onnxsearch._internal.validation import instance, integer, number
from onnxsearch.catalog.batching import COMMIT
from onnxsearch.engine import SearchEngine
from onnxsearch.errors import InvalidArgumentError, MissingExtraError, OnnxSearchError
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.indexing.file_metadata import ItemMetadata
from onnxsearch.indexing.sources.folder import found_file
from onnxsearch.indexing.sources.remote_policy import RemotePolicy
from onnxsearch.indexing.sources.table import Table
from onnxsearch.types import IndexReport, Item, JSONValue, Outcome, Progress, Status

try:
    import pyarrow as pa
    import ray.data  # pyright: ignore[reportMissingImports]
    import ray.exceptions  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingExtraError.for_package("ray", extra="ray") from error

__all__ = ["DatasetTable", "OpenEngine", "RayIndexer"]

_ATTEMPTS = 4
"""Times that a batch is begun whose actor dies. Ray would do it for ever, for an image that kills
each process that opens it."""

_OUTCOMES = pa.schema([(name, pa.string()) for name in ("uri", "status", "id", "error", "raised")])
"""The fields of an `Outcome`, and the class of an error that ends the run."""


class OpenEngine(Protocol):
    """A function that opens the engine of an actor.

    Ray sends it to the actors. It therefore holds a location, but no open store and no loaded
    model.
    """

    def __call__(self, *, workers: int) -> SearchEngine:
        """Return a new engine on the shared stores.

        Args:
            workers: Number of threads that decode and embed.
        """
        ...


class DatasetTable:
    """The images that a data set of Ray lists: one a row, read as `Table` reads a table.

    An image is a path, a URL, the bytes of a file, or a struct of `bytes` and `path`. Bytes need
    ids, since without one an image would be stored once more when its batch is. Paths are best
    absolute, since an actor has a current folder of its own.

    Ray computes the first row, for its columns.

    Args:
        dataset: The data set.
        image: The column of the images.
        id: The column of the ids; by default an id is the path or URL.
        metadata: The columns that become metadata; by default all others.
        root: See `Table`.
        remote: Which URLs are downloaded, see `Remote`. By default none are.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value, a column does not exist, or
            a column of metadata holds bytes.
        OnnxSearchError: Ray failed.

    Example:
        >>> photos = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
        >>> DatasetTable(photos, image="bytes", id="path")
    """

    def __init__(
        self,
        dataset: ray.data.Dataset,
        *,
        image: str = "image",
        id: str | None = None,
        metadata: Sequence[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        remote: RemotePolicy | None = None,
    ) -> None:
        self.dataset = instance("dataset", dataset, ray.data.Dataset, "a data set of Ray")
        table = partial(Table, image=image, id=id, metadata=metadata, root=root, remote=remote)
        self.rows = _Rows(table, image, id)
        with _errors_of_ray():
            for batch in dataset.limit(1).iter_batches(batch_size=1, batch_format="pyarrow"):
                self.rows.check(batch)


class RayIndexer:
    """Indexes images with actors of Ray Data, each with an engine of its own.

    All actors have to reach the files and the stores. A folder of stores serves the actors of one
    machine; those of several machines need servers, such as Milvus and Redis.

    If an actor is killed, Ray starts another one, which does the open batches again: what is
    stored is `UNCHANGED` then, and no model runs. A run that failed is repeated in the same way.
    Two actors that meet exact copies at the same moment may store both.

    Args:
        open_engine: Opens the engine of an actor, as in the example.
        actors: Number of actors, at most; by default Ray starts as many as there is room for.
        cpus: Cores of an actor, and the `workers` of its engine.
        gpus: GPUs of an actor, or the part of one.
        batch_size: Images that an actor stores before it reports their outcomes; by default one
            commit.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value, or `open_engine` cannot be
            sent to other processes.

    Example:
        >>> open_engine = partial(
        ...     SearchEngine.open, "http://milvus:19530", records="redis://redis:6379/0"
        ... )
        >>> indexer = RayIndexer(open_engine, actors=8, cpus=4)
        >>> indexer.index("/mnt/photos")
        <IndexReport 100000 indexed in 270.0 s>
    """

    def __init__(
        self,
        open_engine: OpenEngine,
        *,
        actors: int | None = None,
        cpus: int = 1,
        gpus: float = 0,
        batch_size: int = COMMIT,
    ) -> None:
        if not callable(open_engine):
            raise InvalidArgumentError(
                f"open_engine {open_engine!r:.80}: expected a function that returns an engine, "
                "such as partial(SearchEngine.open, 'http://milvus:19530', records='redis://...')"
            )
        _check_sendable("open_engine", open_engine)
        self._open_engine = open_engine
        self._actors = None if actors is None else integer("actors", actors, least=1)
        self._cpus = integer("cpus", cpus, least=1)
        self._gpus = number("gpus", gpus, least=0, most=1000)
        self._batch_size = integer("batch_size", batch_size, least=1)

    def index(
        self,
        source: DatasetTable | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        metadata: ItemMetadata = None,
        progress: ProgressSink = False,
    ) -> IndexReport:
        """Index images and report the outcome of each.

        Args:
            source: A folder, a file, or an iterable of files, as for `SearchEngine.index`; or a
                `DatasetTable`.
            metadata: Metadata for all images, or a function; see `SearchEngine.add_many`.
            progress: See `SearchEngine.add_many`.

        Returns:
            A report with one outcome per image, in the order of the files or rows.

        Raises:
            ImageNotFoundError: The folder or file does not exist.
            EmptySourceError: The folder holds no file.
            InvalidArgumentError: An argument has a wrong type or value.
            StoreError: A store failed; images that were stored before stay.
            OnnxSearchError: Ray failed, or actors died again and again.

        Example:
            >>> indexer.index(DatasetTable(photos, image="bytes", id="path")).failures
            []
        """
        started = time.monotonic()
        report = reporter(progress)
        outcomes: list[Outcome] = []
        for outcome in self.index_iter(source, metadata=metadata):
            outcomes.append(outcome)
            report(Progress(len(outcomes), None, outcome.uri))
        return IndexReport(tuple(outcomes), time.monotonic() - started)

    def index_iter(
        self,
        source: DatasetTable | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        metadata: ItemMetadata = None,
    ) -> Iterator[Outcome]:
        """Index images as `index` does, and yield each outcome when its image is stored.

        No report is kept, so that memory stays bounded whatever the size of the data set. Ray
        works ahead a little only: read the iterator to its end.

        Args:
            source: See `index`.
            metadata: See `index`.

        Yields:
            Outcomes, in the order of the files or rows.

        Raises:
            OnnxSearchError: As for `index`.

        Example:
            >>> for outcome in indexer.index_iter("/mnt/photos"):
            ...     print(outcome.id, outcome.status)
        """
        if isinstance(source, DatasetTable):
            return self._outcomes(source.dataset, source.rows, metadata)
        if isinstance(source, ray.data.Dataset):
            raise InvalidArgumentError(
                "source is a data set: expected DatasetTable(dataset, image=...), which says "
                "which column holds the images"
            )
        files = read_source(source, Exclusion())
        paths = [entry for entry in files.entries if isinstance(entry, str)]
        tables = [pa.table({"image": batch}) for batch in batched(paths, self._batch_size)]
        if not tables:
            return _in_order(files.entries, iter(()))
        # Files that nobody named may be no images.
        rows = _Rows(_named_files if files.folder is None else _found_files)
        found = self._outcomes(ray.data.from_arrow(tables), rows, metadata)
        return _in_order(files.entries, found)

    def _outcomes(
        self, dataset: ray.data.Dataset, rows: _Rows, metadata: ItemMetadata
    ) -> Iterator[Outcome]:
        _check_sendable("metadata", metadata)
        with _errors_of_ray():
            # Collections are made once, and an engine that cannot be opened stops here.
            once = ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0)(_open_once)
            ray.get(once.remote(self._open_engine, self._cpus))
            attempts = ray.remote(num_cpus=0, max_restarts=-1)(_Attempts).remote()
            stored = dataset.map_batches(
                _Actor,
                fn_constructor_args=(self._open_engine, self._cpus, rows, metadata, attempts),
                batch_size=self._batch_size,
                batch_format="pyarrow",
                # A fixed number would leave no core to what computes a data set, and wait for it.
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self._actors),
                num_cpus=self._cpus,
                num_gpus=self._gpus,
            )
            with _order_kept(stored):
                for batch in stored.iter_batches(batch_size=None, batch_format="pyarrow"):
                    yield from map(_outcome, batch.to_pylist())


class _Rows:
    """Items of the rows of a batch.

    Args:
        table: Makes a source of a batch.
        image: The column of the images.
        id: The column of the ids.
    """

    def __init__(
        self,
        table: Callable[[pa.Table], Iterable[Item | Outcome]],
        image: str = "image",
        id: str | None = None,
    ) -> None:
        self._table, self._name = table, id or image

    def check(self, batch: pa.Table) -> None:
        """Raise an `InvalidArgumentError` if the columns are not as the caller says."""
        self._table(batch.slice(0, 0))

    def items(self, batch: pa.Table) -> Iterator[Item | Outcome]:
        """Yield an item for each row, and an outcome for each that cannot be used."""
        for row, entry in enumerate(self._table(batch)):
            if isinstance(entry, Outcome):
                # The row's number is one in the batch, which nobody knows.
                error = (entry.error or "").removeprefix(f"row {row + 1}: ")
                yield replace(entry, uri=self.name(batch, row), error=error)
            elif entry.id is None and entry.uri is None and isinstance(entry.image, bytes):
                raise InvalidArgumentError(
                    "id is None, and images are given as bytes: expected the column of the ids, "
                    "as in DatasetTable(dataset, image='bytes', id='path')"
                )
            else:
                yield entry

    def name(self, batch: pa.Table, row: int) -> str:
        """Return what identifies a row: its id, or the path of its image."""
        value = batch.column(self._name)[row].as_py()
        if isinstance(value, Mapping):
            value = value.get("path")
        return f"{value!s:.1000}" if isinstance(value, str | int) else "row of the data set"


def _named_files(batch: pa.Table) -> Iterator[Item | Outcome]:
    return map(Item, batch.column("image").to_pylist())


def _found_files(batch: pa.Table) -> Iterator[Item | Outcome]:
    return map(found_file, batch.column("image").to_pylist())


class _Actor:
    """One process of Ray, which stores batch after batch.

    Args:
        open_engine: Opens its engine.
        workers: Number of threads.
        rows: Reads batches.
        metadata: See `SearchEngine.add_many`.
        attempts: Handle of the `_Attempts` of the run.
    """

    def __init__(
        self,
        open_engine: OpenEngine,
        workers: int,
        rows: _Rows,
        metadata: ItemMetadata,
        attempts: ray.actor.ActorHandle,
    ) -> None:
        self._engine = open_engine(workers=workers)
        self._rows = rows
        self._metadata = metadata
        self._attempts = attempts

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Store the images of a batch; return a row with the outcome of each.

        An error is a row too: of those that are raised here, Ray keeps the text only.
        """
        try:
            outcomes = self._store(batch)
        except OnnxSearchError as error:
            outcomes = [{"error": str(error), "raised": type(error).__name__}]
        return pa.Table.from_pylist(outcomes, schema=_OUTCOMES)

    def _store(self, batch: pa.Table) -> Sequence[Mapping[str, JSONValue]]:
        first, last = (self._rows.name(batch, row) for row in (0, batch.num_rows - 1))
        described = f"{batch.num_rows} images from {first!r} to {last!r}"
        if ray.get(self._attempts.begin.remote(described)) > _ATTEMPTS:
            raise OnnxSearchError(
                f"{_ATTEMPTS} processes died that embedded the {described}: one of these images "
                "may take too much memory, or end each process that opens it. Leave it out and run "
                "again: what is stored is not embedded again"
            )
        report = self._engine.add_many(self._rows.items(batch), metadata=self._metadata)
        ray.get(self._attempts.end.remote(described))
        return report.to_dicts()


class _Attempts:
    """An actor that counts how often a batch was begun that was not ended."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, key: str) -> int:
        """Note that a batch is begun; return how often it was begun."""
        self._begun[key] += 1
        return self._begun[key]

    def end(self, key: str) -> None:
        """Forget a batch."""
        del self._begun[key]


def _open_once(open_engine: OpenEngine, workers: int) -> None:
    engine = instance(
        "open_engine returned", open_engine(workers=workers), SearchEngine, "a SearchEngine"
    )
    with engine:
        if "InMemory" in engine.info().vectors + engine.info().records:
            raise InvalidArgumentError(
                "open_engine returned an engine in memory, of which each actor would have its "
                "own: expected stores that all actors share"
            )


def _outcome(row: Mapping[str, str]) -> Outcome:
    """Return an outcome of an actor, or raise an error that it caught."""
    if row["raised"]:
        raise vars(errors)[row["raised"]](row["error"])
    return Outcome(row["uri"], Status(row["status"]), row["id"], row["error"])


@contextmanager
def _order_kept(dataset: ray.data.Dataset) -> Iterator[None]:
    """Have Ray compute a data set in the order of its rows."""
    # The context is that of the caller's data set.
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield
    finally:
        options.preserve_order = before


def _in_order(entries: Iterable[str | Outcome], outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield the outcomes among the entries, and for each path the next one of `outcomes`."""
    for entry in entries:
        yield entry if isinstance(entry, Outcome) else next(outcomes)


def _check_sendable(name: str, value: object) -> None:
    try:
        ray.cloudpickle.dumps(value)
    except Exception as error:
        raise InvalidArgumentError(
            f"{name} {value!r:.200} cannot be sent to other processes ({error}): expected a "
            "function that opens stores and loads models when it is called"
        ) from error


@contextmanager
def _errors_of_ray() -> Iterator[None]:
    """Raise what a task of ours raised as it was, and other errors of Ray as ours."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, OnnxSearchError):
            raise cause from None
        raise OnnxSearchError(
            f"Ray failed, {type(error).__name__}: {error!s:.2000}\nRun again: what is stored is "
            "not embedded again"
        ) from error
