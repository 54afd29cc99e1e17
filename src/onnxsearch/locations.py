"""The stores that a location string names, and the models that an index there remembers.

No other module knows locations, or how the models of an index are made.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from onnxsearch._internal.paths import target_path
from onnxsearch._internal.plugins import (
    METADATA,
    VECTORS,
    has_plugin,
    made_by_plugin,
    plugin_names,
)
from onnxsearch._internal.validation import instance, items
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.manifest import Manifest
from onnxsearch.embedders.bundled import DEFAULT_MODEL
from onnxsearch.errors import (
    InvalidArgumentError,
    ModelNotFoundError,
    StoreError,
    may_hold_password,
    without_secrets,
)
from onnxsearch.metadata.base import MetadataStore
from onnxsearch.vectors.base import VectorStore

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.embedders.description import ModelDescription

_Place: TypeAlias = "str | os.PathLike[str]"

_PLACE = "a path or a URL"
_PATHS = "a file or folder, or several"
_MILVUS = ("http", "https")
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d{2,5}", re.ASCII)
_REDIS = ("redis", "rediss", "unix")


def open_stores(
    location: str | os.PathLike[str], records: str | os.PathLike[str] | None
) -> tuple[VectorStore, MetadataStore]:
    """Return the stores that `location` and `records` name.

    See `SearchEngine.open`.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    instance("location", location, (str, os.PathLike), _PLACE)
    if records is not None:
        instance("records", records, (str, os.PathLike), _PLACE)
    vectors, beside = _vectors(location)
    try:
        return vectors, _records(records, beside, location)
    except BaseException:
        vectors.close()
        raise


def missing_files(
    location: str | os.PathLike[str], records: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Return the files of an index that do not exist; none if the index is there.

    Nothing is opened or created. Parts on a server count as existing.

    Args:
        location: Where the vectors are; see `SearchEngine.open`.
        records: Where the records are; see `SearchEngine.open`.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    return [
        part
        for part in index_parts(location, records)
        if isinstance(part, Path) and not part.exists()
    ]


class IndexParts(NamedTuple):
    """Where the two parts of an index are: a path, or the URL of a server."""

    vectors: Path | str
    records: Path | str | None
    """None if the vectors are on a server, and nobody says where the records are."""


def index_parts(
    location: str | os.PathLike[str], records: str | os.PathLike[str] | None = None
) -> IndexParts:
    """Return where the parts of an index are. Nothing is opened or created.

    Args:
        location: Where the vectors are; see `SearchEngine.open`.
        records: Where the records are; see `SearchEngine.open`.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    vectors: Path | str = os.fspath(location)
    beside: Path | str | None = None
    if _scheme(location) is None:
        vectors, beside = _files(_path("location", location))
    if records is not None:
        is_path = _scheme(records) is None
        beside = _path("records", records) if is_path else os.fspath(records)
    return IndexParts(vectors, beside)


def records_place(records: _Place | None, metadata: _Place | None) -> _Place | None:
    """Return where the records are, given by the name `records` or by its former one.

    Raises:
        InvalidArgumentError: Both are given.
    """
    if metadata is None:
        return records
    if _scheme(instance("metadata", metadata, (str, os.PathLike), _PLACE)) is None:
        _path("metadata", metadata)
    if records is not None:
        raise InvalidArgumentError(
            "records and metadata are two names of one argument: expected records only"
        )
    warnings.warn(
        "metadata= of SearchEngine.open is now records=; the old name will be removed",
        DeprecationWarning,
        stacklevel=3,
    )
    return metadata


def model_places(model_path: _Place | Iterable[_Place] | None) -> list[Path]:
    """Return the files and folders where models are looked for.

    Args:
        model_path: One or several; those of the variable ONNXSEARCH_MODELS follow, as far
            as they exist.

    Raises:
        InvalidArgumentError: One of them is not a path, or does not exist.
    """
    given = [model_path] if isinstance(model_path, str | os.PathLike) else model_path or ()
    places = [
        target_path(instance("model_path", each, (str, os.PathLike), _PATHS), "model_path")
        for each in items("model_path", given, _PATHS)
    ]
    for place in places:
        if not place.exists():
            raise InvalidArgumentError(f"model_path {str(place)!r}: no such file or folder")
    others = os.environ.get("ONNXSEARCH_MODELS", "").split(os.pathsep)
    known = [target_path(each, "ONNXSEARCH_MODELS") for each in others if each]
    return places + [place for place in known if place.exists()]


def stored_models(
    location: str | os.PathLike[str], records: str | os.PathLike[str] | None, namespace: str
) -> list[ModelDescription]:
    """Return what an index says of its models; the vectors are not opened.

    Args:
        location: Where the vectors are; see `SearchEngine.open`.
        records: Where the records are; see `SearchEngine.open`.
        namespace: See `SearchEngine`.

    Raises:
        InvalidArgumentError: The records are nowhere.
        StoreCorruptError: What the index says cannot be read.
        StoreError: The store failed.
    """
    beside = _files(_path("location", location))[1] if _scheme(location) is None else None
    with _records(records, beside, location) as store:
        return Manifest(store, namespace).models()


def stored_embedders(
    vectors: VectorStore, metadata: MetadataStore, namespace: str, places: Sequence[Path]
) -> Sequence[Embedder]:
    """Return the embedders of an index, the default one first; of a new one, the bundled one.

    Args:
        vectors: The store of the vectors.
        metadata: The store of the records.
        namespace: See `SearchEngine`.
        places: See `model_places`.

    Raises:
        ModelNotFoundError: A model is not found, cannot be made from here, or is of an
            index that does not say how to make it.
        StoreCorruptError: What the index says cannot be read.
        ModelError: A model cannot be loaded.
        StoreError: A store failed.
    """
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder

    catalog = Catalog(vectors, metadata, namespace)
    models = catalog.manifest.models()
    if models:
        return make_embedders(models, places)
    collections = catalog.collections()
    if collections and catalog.collection(DEFAULT_MODEL) not in collections:
        raise ModelNotFoundError(
            f"the index holds vectors in {', '.join(collections)}, and does not say of which "
            "models: it was made by an earlier onnxsearch. Give the models as embedders=... or "
            "with --model, as they were when it was filled; it remembers them from then on"
        )
    # What remembers no model was filled before the bundled profile had a second revision.
    return [OnnxEmbedder.bundled(profile=DEFAULT_MODEL if collections else None)]


def named_embedder(name: str, *, regions: bool = False) -> Embedder:
    """Return the model of the catalogue that has a name, or else the bundled one.

    Args:
        name: The name.
        regions: Whether it also gives vectors of regions.

    Raises:
        InvalidArgumentError: No model has it.
        ModelError: The model cannot be used.
    """
    from onnxsearch.embedders.hub.catalogue import catalogue
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder

    load = OnnxEmbedder.hub if name in catalogue() else OnnxEmbedder.bundled
    return load(name, regions=regions)


def make_embedders(models: Sequence[ModelDescription], places: Sequence[Path]) -> list[Embedder]:
    """Return the embedders that these descriptions are of, in their order.

    Args:
        models: What is remembered of them.
        places: See `model_places`.

    Raises:
        ModelNotFoundError: A model is not found, or cannot be made from here.
        ModelError: A model cannot be loaded.
    """
    from onnxsearch.embedders.onnx.restoration import restore

    return [*restore(models, places)]


def _files(path: Path) -> tuple[Path, Path]:
    """Return the file of the vectors, and that of the records beside it."""
    if path.suffix == ".db":
        return path, path.with_suffix(".records.sqlite")
    return path / "vectors.sqlite", path / "records.sqlite"


def _vectors(location: str | os.PathLike[str]) -> tuple[VectorStore, Path | None]:
    """Return the vector store, and the path of an SQLite file beside it."""
    scheme = _scheme(location)
    if scheme in _MILVUS:
        from onnxsearch.vectors.milvus.store import MilvusVectorStore

        return MilvusVectorStore(os.fspath(location)), None
    if scheme:
        if has_plugin(VECTORS, scheme):
            url = os.fspath(location)
            return made_by_plugin(VECTORS, scheme, VectorStore, url), None  # type: ignore[type-abstract]
        raise InvalidArgumentError(
            f"location {without_secrets(str(location))!r}: expected a folder, a file x.db for "
            f"Milvus Lite, or http(s)://host:port for a Milvus server{_installed(VECTORS)}"
        )
    if _HOST_AND_PORT.fullmatch(os.fspath(location)):
        raise InvalidArgumentError(
            f"location {os.fspath(location)!r}: expected http://{os.fspath(location)} for a Milvus "
            "server, or ./ before the name of a folder"
        )
    path = _path("location", location)
    vectors, beside = _files(path)
    if path.suffix == ".db":
        from onnxsearch.vectors.milvus.store import MilvusVectorStore

        return MilvusVectorStore(str(vectors)), beside
    from onnxsearch.vectors.local import LocalVectorStore

    _make_folder(path)
    return LocalVectorStore(vectors), beside


def _records(
    records: str | os.PathLike[str] | None,
    beside: Path | None,
    location: str | os.PathLike[str],
) -> MetadataStore:
    scheme = _scheme(records) if records is not None else None
    if scheme in _REDIS:
        from onnxsearch.metadata.redis.store import RedisMetadataStore

        return RedisMetadataStore(str(records))
    if scheme:
        if has_plugin(METADATA, scheme):
            url = str(records)
            return made_by_plugin(METADATA, scheme, MetadataStore, url)  # type: ignore[type-abstract]
        raise InvalidArgumentError(
            f"records {without_secrets(str(records))!r}: expected a redis://, rediss:// or "
            f"unix:// URL, or the path of an SQLite file{_installed(METADATA)}"
        )
    path = _path("records", records) if records is not None else beside
    if path is None:
        raise InvalidArgumentError(
            f"location {without_secrets(str(location))!r} is a server, and no place for the "
            "records is given: pass records='redis://host:6379/0' or the path of an SQLite file"
        )
    from onnxsearch.metadata.sqlite import SQLiteMetadataStore

    return SQLiteMetadataStore(path)


def _installed(group: str) -> str:
    """Return the schemes that other packages bring, as the end of a message; or nothing."""
    names = ", ".join(f"{name}://" for name in plugin_names(group))
    return f"; installed packages bring {names}" if names else ""


def _scheme(location: str | os.PathLike[str]) -> str | None:
    scheme, found, _ = os.fspath(location).partition("://")
    return scheme.lower() if found else None


def _path(name: str, text: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a location without a scheme."""
    if may_hold_password(os.fspath(text)):
        raise InvalidArgumentError(
            f"{name} is not shown, for it may hold a password. It is not a URL: expected "
            "scheme://user:password@host:port. If it is a path, write ./ before it"
        )
    return target_path(text, name)


def _make_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InvalidArgumentError(
            f"location {str(path)!r} is a file: expected a folder, or x.db for Milvus Lite"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"folder {str(path)!r} cannot be made ({error.strerror}): choose a place where this "
            "user may write"
        ) from error
