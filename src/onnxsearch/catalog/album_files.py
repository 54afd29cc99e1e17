"""Files that hold an album, as snapshots and exports do: written whole, read without trust."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.validation import check_name, integer
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.root import NO_ROOT, Root
from onnxsearch.catalog.serialization import check_metadata, decode_record
from onnxsearch.errors import InvalidArgumentError, OnnxSearchError, StoreCorruptError, StoreError
from onnxsearch.types import Metric, Record
from onnxsearch.vectors.base import CollectionSpec

_MAX_PATH = 2**15
"""Characters of a path, at most: the longest that an operating system has."""
_CONTENT = re.compile("[0-9a-f]{32}")


@contextmanager
def new_album_file(path: Path, kind: str) -> Iterator[BinaryIO]:
    """Give a file that appears when it is whole; see `new_file`.

    Args:
        path: The file.
        kind: What messages call it, such as "snapshot".

    Raises:
        InvalidArgumentError: `path` is a folder.
        StoreError: The file cannot be written.
    """
    if os.path.isdir(path):
        raise InvalidArgumentError(f"{kind} {str(path)!r} is a folder: expected a file's path")
    try:
        with new_file(path) as file:
            yield file
    except OSError as error:
        raise StoreError(
            f"{kind} {str(path)!r} cannot be written ({error.strerror or error}): choose a "
            "place with room where this user may write"
        ) from error


@contextmanager
def album_defects(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a damaged or hostile file makes Python raise into one of our errors.

    Raises:
        StoreCorruptError: The file is not what it should be.
        StoreError: It cannot be read.
    """
    try:
        yield
    except StoreCorruptError:
        raise
    except OSError as error:
        raise StoreError(
            f"{kind} {str(path)!r} cannot be read: {error.strerror or error}"
        ) from error
    except (
        ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
        OnnxSearchError, RecursionError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip
        raise StoreCorruptError(
            f"{str(path)!r} is not {_A[kind]} {kind} of onnxsearch, or is damaged: "
            f"{str(error) or type(error).__name__}"
        ) from error


_A: Mapping[str, str] = {"snapshot": "a", "export": "an"}


@dataclass(frozen=True, slots=True)
class AlbumHeader:
    """What a file says of itself."""

    kind: str
    """`snapshot` or `export`."""
    version: int
    spaces: Mapping[str, CollectionSpec]
    """The vector space of each model; the name of a collection does not count."""
    root: Root
    """What the stored paths are relative to."""

    def as_json(self) -> dict[str, object]:
        """Return the header as values that JSON has."""
        models = [
            {
                "name": name,
                "dimension": space.dimension,
                "fingerprint": space.fingerprint,
                "metric": space.metric.value,
            }
            for name, space in self.spaces.items()
        ]
        root = {} if self.root.path is None else {"root": self.root.path}
        return {
            "format": f"onnxsearch {self.kind}",
            "version": self.version,
            **root,
            "models": models,
        }

    @classmethod
    def read(cls, values: Mapping[str, Any], kind: str, version: int, path: Path) -> AlbumHeader:
        """Return the header that `as_json` wrote; call it within `album_defects`.

        Raises:
            StoreCorruptError: The file is of another version.
            ValueError: The header is not as `as_json` makes it.
        """
        if values["format"] != f"onnxsearch {kind}":
            raise ValueError("its manifest is of another format")
        if values["version"] != version:
            raise StoreCorruptError(
                f"{kind} {str(path)!r} is of version {values['version']!r:.20}, this "
                f"onnxsearch reads {version}: use the onnxsearch that wrote it"
            )
        spaces: dict[str, CollectionSpec] = {}
        for model in values["models"]:
            name = check_name(model["name"])
            if name in spaces:
                raise ValueError(f"its manifest names model {name!r} twice")
            spaces[name] = CollectionSpec(
                kind,
                integer("dimension", model["dimension"], least=1),
                str(model["fingerprint"]),
                Metric(model["metric"]),
            )
        return cls(kind, version, spaces, _root_of(values.get("root")))

    def record(self, data: bytes) -> Record:
        """Return a record of the file, every value of it checked.

        Raises:
            ValueError: The bytes are not a record of this file.
            InvalidArgumentError: The id or the metadata cannot be stored.
        """
        try:
            record = decode_record(data, self.root.absolute)
        except StoreCorruptError as error:
            raise ValueError(f"{data[:60]!r} is not a record") from error
        if not set(record.models) <= self.spaces.keys():
            raise ValueError(f"its record of {record.id!r:.80} lists a model without vectors")
        if record.content is not None and not _CONTENT.fullmatch(record.content):
            raise ValueError(f"its record of {record.id!r:.80} has an unknown kind of hash")
        return replace(record, id=check_id(record.id), metadata=check_metadata(record.metadata))


def _root_of(path: object) -> Root:
    """Return the root of a file; it may be a path of another operating system."""
    if path is None:
        return NO_ROOT
    if not isinstance(path, str) or len(path) > _MAX_PATH:
        raise ValueError("its root is not a path")
    target_path(path, "root")
    return Root(path)
