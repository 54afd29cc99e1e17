"""Snapshots that come from anybody: damaged, cut off, or made to do harm."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxSearchError,
    SearchEngine,
    SpaceMismatchError,
    StoreCorruptError,
    StoreError,
)
from onnxsearch.testing import FakeEmbedder, picture


def new_engine() -> SearchEngine:
    models = [FakeEmbedder("one"), FakeEmbedder("two.b", dimension=8)]
    return SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    engine = new_engine()
    for name in ("cat", "dog"):
        engine.add(picture(name), id=name)
    engine.save_snapshot(tmp_path / "small.zip")
    return tmp_path / "small.zip"


def rewritten(
    path: Path,
    change: Callable[[dict[str, bytes]], object],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    path = path.with_name("changed.zip")
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def npy(array: object, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=pickled)
    return buffer.getvalue()


def header(text: str, version: int = 1) -> bytes:
    data = text.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(data)) + data + bytes(128)


def npy_header(type: str, shape: str) -> bytes:
    return header(f"{{'descr': '{type}', 'fortran_order': False, 'shape': {shape}, }}\n")


def array(data: bytes) -> Callable[[dict[str, bytes]], object]:
    return lambda members: members.update({"0/00000.npy": data})


def manifest(members: dict[str, bytes], **values: object) -> None:
    members["manifest.json"] = json.dumps(
        {**json.loads(members["manifest.json"]), **values}
    ).encode()


def model(members: dict[str, bytes], **values: object) -> None:
    first, *others = json.loads(members["manifest.json"])["models"]
    manifest(members, models=[{**first, **values}, *others])


def record(members: dict[str, bytes], **values: object) -> None:
    first, second = members["00000.jsonl"].split(b"\n")
    changed = json.dumps({**json.loads(first), **values}).encode()
    members["00000.jsonl"] = changed + b"\n" + second


NAN = npy(np.full((2, 16), np.nan, np.float32))
HOSTILE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "no manifest": lambda m: m.pop("manifest.json"),
    "no JSON": lambda m: m.update({"manifest.json": b"{"}),
    "a list": lambda m: m.update({"manifest.json": b"[]"}),
    "deep JSON": lambda m: m.update({"manifest.json": b"[" * 100_000}),
    "another format": lambda m: manifest(m, format="something"),
    "a later version": lambda m: manifest(m, version=2),
    "models that are none": lambda m: manifest(m, models=["one"]),
    "a model twice": lambda m: manifest(m, models=json.loads(m["manifest.json"])["models"][:1] * 2),
    "a model with a path": lambda m: model(m, name="../one"),
    "no dimension": lambda m: model(m, dimension=0),
    "half a dimension": lambda m: model(m, dimension=16.5),
    "fewer pictures than there are": lambda m: manifest(m, pictures=1),
    "more pictures than there are": lambda m: manifest(m, pictures=3),
    "pictures that are no number": lambda m: manifest(m, pictures="2"),
    "parts for no pictures": lambda m: manifest(m, pictures=0),
    "no parts": lambda m: manifest(m, parts=0),
    "fewer than no parts": lambda m: manifest(m, parts=-1),
    "endless parts": lambda m: manifest(m, parts=1e400),
    "more parts than there are": lambda m: manifest(m, parts=10),
    "no such metric": lambda m: manifest(m, models=[{"name": "one", "metric": "x"}]),
    "no records": lambda m: m.pop("00000.jsonl"),
    "too many records": lambda m: m.update({"00000.jsonl": m["00000.jsonl"] * 200}),
    "a bomb": lambda m: m.update({"00000.jsonl": b" " * (5 * 2**20)}),
    "no vectors": lambda m: m.pop("0/00000.npy"),
    "a large matrix": lambda m: m.update({"0/00000.npy": npy(np.zeros((99, 99), np.float32))}),
    "another type": lambda m: m.update({"0/00000.npy": npy(np.zeros((2, 16)))}),
    "code": lambda m: m.update({"0/00000.npy": npy([print, print], pickled=True)}),
    "no array": lambda m: m.update({"0/00000.npy": b"\x93NUMPY\x01\x00\xff\xff"}),
    "not finite": lambda m: m.update({"0/00000.npy": NAN}),
    "a shape that is too large": array(npy_header("<f4", "(1000000000000000, 16)")),
    "a shape below 0": array(npy_header("<f4", "(-2, 16)")),
    "a type that is none": array(npy_header("zzz,,", "(2, 16)")),
    "a header that does not end": array(header("{'descr': (1,\n")),
    "a header of open quotes": array(header("'''abc\n")),
    "a header of brackets": array(header("(" * 3000)),
    "a header that is no text": array(header("{\0}\n")),
    "a header of another version": array(header("{}", version=3)),
    "big-endian": lambda m: array(m["0/00000.npy"].replace(b"<f4", b">f4"))(m),
    "by columns": array(npy(np.asfortranarray(np.zeros((2, 16), np.float32)))),
    "an array that goes on": lambda m: array(m["0/00000.npy"] + b"more")(m),
    "an array that is cut off": lambda m: array(m["0/00000.npy"][:-4])(m),
    "an id that is none": lambda m: record(m, id=7),
    "an empty id": lambda m: record(m, id=""),
    "metadata that are none": lambda m: record(m, metadata=[1]),
    "a number for a path": lambda m: record(m, uri=7),
    "text for a number": lambda m: record(m, size="large"),
    "a hash that is none": lambda m: record(m, content="../../etc"),
    "a hash in blanks": lambda m: record(m, content=" " * 300 + "00" * 16),
    "a hash in parts": lambda m: record(m, content="00\n" + "00" * 15),
    "a root that is none": lambda m: manifest(m, root=7),
    "an empty root": lambda m: manifest(m, root=""),
    "a root with a NUL": lambda m: manifest(m, root="/album\0"),
    "an endless root": lambda m: manifest(m, root="/" + "a" * 40_000),
    "a path that leaves the root": lambda m: record(m, path="trip/../../etc/passwd"),
    "an absolute path below the root": lambda m: record(m, path="/etc/passwd"),
    "an empty path": lambda m: record(m, path=""),
    "a path that is none": lambda m: record(m, path=["trip"]),
    "a model that is not there": lambda m: record(m, models=["three"]),
    "models that are no texts": lambda m: record(m, models=[["one"]]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_snapshot_is_refused(small: Path, change: Callable[..., object]) -> None:
    engine = new_engine()
    with pytest.raises(StoreCorruptError, match="snapshot") as caught:
        engine.load_snapshot(rewritten(small, change))
    assert "metadata store" not in str(caught.value)
    assert engine.verify().ok


def test_a_snapshot_that_was_not_changed_is_taken(small: Path) -> None:
    assert new_engine().load_snapshot(rewritten(small, lambda members: None)).copied == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_snapshot_is_refused(small: Path, method: int) -> None:
    with pytest.raises(StoreCorruptError, match="is compressed"):
        new_engine().load_snapshot(rewritten(small, lambda members: None, method))


DIRECTORY: dict[str, dict[int, bytes]] = {
    "of a later version": {6: b"\x63"},
    "encrypted": {8: b"\x01"},
    "a name that is no UTF-8": {9: b"\x08", 46: b"\xff"},
    "compressed in an unknown way": {10: b"\x63"},
    "larger than the file": {20: struct.pack("<II", 2**31, 2**31)},
    "larger when unpacked": {24: struct.pack("<I", 2**31)},
    "elsewhere": {42: struct.pack("<I", 2**31)},
}
"""Bytes of the first entry of a zip file's directory, by their offset in it."""


@pytest.mark.parametrize("change", DIRECTORY.values(), ids=DIRECTORY.keys())
def test_a_hostile_directory_is_refused(small: Path, change: dict[int, bytes]) -> None:
    data = bytearray(small.read_bytes())
    entry = data.index(b"PK\x01\x02")
    for offset, value in change.items():
        data[entry + offset : entry + offset + len(value)] = value
    small.write_bytes(data)
    with pytest.raises(StoreCorruptError):
        new_engine().load_snapshot(small)


def test_what_a_snapshot_claims_takes_no_memory(small: Path) -> None:
    """Not even of a model that the engine has not, so that any dimension would do."""
    claims: list[Callable[[dict[str, bytes]], object]] = [
        lambda members: model(members, dimension=2**40),
        array(npy_header("<f4", f"(2, {2**30})")),
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            engine = SearchEngine(
                FakeEmbedder("two.b", dimension=8), InMemoryVectorStore(), InMemoryMetadataStore()
            )
            with pytest.raises(StoreCorruptError):
                engine.load_snapshot(rewritten(small, claim))
            assert engine.count() == 0
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_spaces_are_compared_before_vectors_are_read(small: Path) -> None:
    def change(members: dict[str, bytes]) -> None:
        model(members, dimension=2**31)
        members.pop("0/00000.npy")

    with pytest.raises(SpaceMismatchError):
        new_engine().load_snapshot(rewritten(small, change))


def test_a_damaged_snapshot_is_refused(small: Path) -> None:
    """Cut off or with a byte changed, wherever: our error, or what it was before."""
    whole = small.read_bytes()
    damaged = small.with_name("damaged.zip")
    for place in range(0, len(whole), 37):
        flipped = bytes([whole[place] ^ 0x55])
        for data in (whole[:place], whole[:place] + flipped + whole[place + 1 :]):
            damaged.write_bytes(data)
            engine = new_engine()
            try:
                engine.load_snapshot(damaged)
            except OnnxSearchError:
                continue
            assert all(
                id in ("cat", "dog") for id in (r.id for r in engine._catalog.records.values())
            )


def test_no_snapshot_at_all(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(StoreCorruptError, match="not a zip file"):
        new_engine().load_snapshot(tmp_path / "text.zip")
    with pytest.raises(StoreError, match="cannot be read"):
        new_engine().load_snapshot(tmp_path / "nothing.zip")
