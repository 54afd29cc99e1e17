"""The stores that a location string names; no other module knows locations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from onnxsearch._internal.paths import target_path
from onnxsearch._internal.validation import instance
from onnxsearch.errors import (
    InvalidArgumentError,
    StoreError,
    may_hold_password,
    without_secrets,
)

if TYPE_CHECKING:
    from onnxsearch.metadata.base import MetadataStore
    from onnxsearch.vectors.base import VectorStore

_MILVUS = ("http", "https")
_REDIS = ("redis", "rediss", "unix")


def open_stores(
    location: str | os.PathLike[str], metadata: str | os.PathLike[str] | None
) -> tuple[VectorStore, MetadataStore]:
    """Return the stores that `location` and `metadata` name.

    See `SearchEngine.open`.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    instance("location", location, (str, os.PathLike), "a path or a URL")
    if metadata is not None:
        instance("metadata", metadata, (str, os.PathLike), "a path or a URL")
    vectors, beside = _vectors(location)
    try:
        return vectors, _metadata(metadata, beside, location)
    except BaseException:
        vectors.close()
        raise


def missing_files(
    location: str | os.PathLike[str], metadata: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Return the files of an index that do not exist; none if the index is there.

    Nothing is opened or created. Parts on a server count as existing.

    Args:
        location: Where the vectors are; see `SearchEngine.open`.
        metadata: Where the records are; see `SearchEngine.open`.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    files: list[Path] = []
    beside: Path | None = None
    if _scheme(location) is None:
        vectors, beside = _files(_path("location", location))
        files.append(vectors)
    if metadata is not None:
        beside = _path("metadata", metadata) if _scheme(metadata) is None else None
    if beside is not None:
        files.append(beside)
    return [file for file in files if not file.exists()]


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
        raise InvalidArgumentError(
            f"location {without_secrets(str(location))!r}: expected a folder, a file x.db for "
            "Milvus Lite, or http(s)://host:port for a Milvus server"
        )
    path = _path("location", location)
    vectors, beside = _files(path)
    if path.suffix == ".db":
        from onnxsearch.vectors.milvus.store import MilvusVectorStore

        return MilvusVectorStore(str(vectors)), beside
    from onnxsearch.vectors.local import LocalVectorStore

    _make_folder(path)
    return LocalVectorStore(vectors), beside


def _metadata(
    metadata: str | os.PathLike[str] | None,
    beside: Path | None,
    location: str | os.PathLike[str],
) -> MetadataStore:
    scheme = _scheme(metadata) if metadata is not None else None
    if scheme in _REDIS:
        from onnxsearch.metadata.redis.store import RedisMetadataStore

        return RedisMetadataStore(str(metadata))
    if scheme:
        raise InvalidArgumentError(
            f"metadata {without_secrets(str(metadata))!r}: expected a redis://, rediss:// or "
            "unix:// URL, or the path of an SQLite file"
        )
    path = _path("metadata", metadata) if metadata is not None else beside
    if path is None:
        raise InvalidArgumentError(
            f"location {without_secrets(str(location))!r} is a server, and no place for the "
            "records is given: pass metadata='redis://host:6379/0' or the path of an SQLite file"
        )
    from onnxsearch.metadata.sqlite import SQLiteMetadataStore

    return SQLiteMetadataStore(path)


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
