"""A vector store and a metadata store of your own, small and complete.

    python examples/own_store.py

`FolderVectorStore` keeps each vector in a file. `LogMetadataStore` appends each commit to
one file. The data of both survive a killed process, and the log also survives a loss of
power. Neither store is fast. `test_own_store.py` runs the contracts of the built-in stores
on them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np

from onnxsearch import (
    Cell,
    ClosedError,
    CollectionNotFoundError,
    CollectionSpec,
    Filter,
    Match,
    MetadataStore,
    Metric,
    SearchEngine,
    StoreError,
    Vectors,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture


# [vectors]
class FolderVectorStore(VectorStore):
    """A folder per collection, a file per vector: a line of JSON, then the numbers."""

    metrics = frozenset({Metric.L2})

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._closed = False

    def _describe(self, name: str) -> CollectionSpec | None:
        try:
            text = (self._open() / name / "spec.json").read_text("utf-8")
        except FileNotFoundError:
            return None
        spec = json.loads(text)
        return CollectionSpec(name, spec["dimension"], spec["fingerprint"], Metric.L2)

    def _create(self, spec: CollectionSpec) -> None:
        made = _temporary(self._open())
        made.mkdir()
        text = json.dumps({"dimension": spec.dimension, "fingerprint": spec.fingerprint})
        _write(made / "spec.json", text.encode())
        try:
            made.rename(self._folder / spec.name)
        except OSError:  # another process created it first
            shutil.rmtree(made)

    def _collections(self) -> list[str]:
        return [name for name in os.listdir(self._open()) if "." not in name]

    def _drop(self, name: str) -> None:
        gone = _temporary(self._open())
        (self._folder / name).rename(gone)
        shutil.rmtree(gone)

    def _upsert(
        self, spec: CollectionSpec, keys: Sequence[str], vectors: Vectors, metadata: Sequence[str]
    ) -> None:
        for key, vector, text in zip(keys, vectors, metadata, strict=True):
            _write(self._rows(spec) / key, text.encode() + b"\n" + vector.tobytes())

    def _search(
        self, spec: CollectionSpec, queries: Vectors, limit: int, filter: Filter | None
    ) -> list[list[Match]]:
        rows: dict[str, Vectors] = {}
        for key in self._ids(spec):
            row = self._read(spec, key)
            if row is not None and (filter is None or filter.matches(json.loads(row[0]))):
                rows[key] = row[1]
        found = []
        for query in queries.astype(np.float64):
            matches = [Match(key, float(np.linalg.norm(row - query))) for key, row in rows.items()]
            matches.sort(key=lambda match: (match.distance, match.key))
            found.append(matches[:limit])
        return found

    def _fetch(self, spec: CollectionSpec, keys: Sequence[str]) -> Mapping[str, Vectors]:
        rows = {key: self._read(spec, key) for key in keys}
        return {key: row[1] for key, row in rows.items() if row is not None}

    def _delete(self, spec: CollectionSpec, keys: Sequence[str]) -> None:
        for key in keys:
            (self._rows(spec) / key).unlink(missing_ok=True)

    def _ids(self, spec: CollectionSpec) -> Iterator[str]:
        return iter([name for name in os.listdir(self._rows(spec)) if "." not in name])

    def _count(self, spec: CollectionSpec) -> int:
        return sum(1 for _ in self._ids(spec))

    def close(self) -> None:
        self._closed = True

    def _open(self) -> Path:
        if self._closed:
            raise ClosedError(f"{self!r} is closed")
        return self._folder

    def _rows(self, spec: CollectionSpec) -> Path:
        folder = self._open() / spec.name
        if not folder.is_dir():
            raise CollectionNotFoundError(f"collection {spec.name!r} was dropped meanwhile")
        return folder

    def _read(self, spec: CollectionSpec, key: str) -> tuple[bytes, Vectors] | None:
        try:
            metadata, _, numbers = (self._rows(spec) / key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        return metadata, np.frombuffer(numbers, np.float32).copy()

    def __repr__(self) -> str:
        return f"FolderVectorStore({str(self._folder)!r})"


def _temporary(folder: Path) -> Path:
    """Return a path with a dot in its name, which no collection and no key has."""
    return folder / f"{uuid4().hex}.part"


def _write(path: Path, data: bytes) -> None:
    # Write under another name first, so that no reader and no crash sees half a file.
    part = _temporary(path.parent)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}. Is the disk full?") from error


# [vectors end]


# [metadata]
class LogMetadataStore(MetadataStore):
    """One file with a line per commit, read when the store opens; for one process at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._tables: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._file = self._path.open("ab", buffering=0)
        whole = 0
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # a crash cut this line short, so its commit was not acknowledged
                whole += len(line)
                for table, key, text in json.loads(line):
                    self._set(Cell(table, key), None if text is None else base64.b64decode(text))
        self._file.truncate(whole)

    def _get_many(self, table: str, keys: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            values = self._open()[table]
            return [values.get(key) for key in keys]

    def _commit(
        self, writes: Mapping[Cell, bytes | None], expect: Mapping[Cell, bytes | None]
    ) -> bool:
        with self._lock:
            tables = self._open()
            if any(tables[cell.table].get(cell.key) != value for cell, value in expect.items()):
                return False
            line = [
                [*cell, None if value is None else base64.b64encode(value).decode()]
                for cell, value in writes.items()
            ]
            self._append(json.dumps(line).encode() + b"\n")
            for cell, value in writes.items():
                self._set(cell, value)
            return True

    def _items(self, table: str) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            return iter(list(self._open()[table].items()))

    def _count(self, table: str) -> int:
        with self._lock:
            return len(self._open()[table])

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _open(self) -> defaultdict[str, dict[str, bytes]]:
        if self._file.closed:
            raise ClosedError(f"{self!r} is closed")
        return self._tables

    def _append(self, line: bytes) -> None:
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise StoreError(f"cannot write {self._path}: {error}. Is the disk full?") from error

    def _set(self, cell: Cell, value: bytes | None) -> None:
        if value is None:
            self._tables[cell.table].pop(cell.key, None)
        else:
            self._tables[cell.table][cell.key] = value

    def __repr__(self) -> str:
        return f"LogMetadataStore({str(self._path)!r})"


# [metadata end]


def main(folder: Path) -> None:
    for run in ("first", "second"):
        with (
            FolderVectorStore(folder / "vectors") as vectors,
            LogMetadataStore(folder / "records.log") as metadata,
        ):
            engine = SearchEngine(FakeEmbedder(), vectors, metadata)
            engine.add(picture(f"from the {run} run"), id=run)
            print(f"{run} run:", engine.search(picture("from the first run")).ids)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
