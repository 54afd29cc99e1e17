"""Hostile tables: each bad row is an outcome that names it, and nothing is read elsewhere."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onnxsearch import Item, OnnxSearchError, RemotePolicy, Table
from onnxsearch.testing import write_pictures
from tests.indexing.reading import MEMORY, cost, errors, results, tree
from tests.indexing.web import listening


def parquet(folder: Path, columns: Mapping[str, object]) -> bytes:
    path = folder / "made.parquet"
    pq.write_table(pa.table(dict(columns)), path)
    data = path.read_bytes()
    path.unlink()
    return data


def lines(*rows: object) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


UNQUOTED = b"".join(b"%d%s\n" % (number, b"y" * 100) for number in range(1500))

ROWS: Mapping[str, tuple[bytes, str]] = {
    "path that climbs": (b"image\n../../etc/passwd\na.png", "leads out of"),
    "path that climbs inside": (b"image\nx/../../a.png\na.png", "leads out of"),
    "absolute path": (b"image\n/etc/passwd\na.png", "leads out of"),
    "path of a user": (b"image\n~/../../etc/passwd\na.png", "leads out of"),
    "the root itself": (b"image\n.\na.png", "leads out of"),
    "path with a NUL": (b'image\n"a\0.png"\na.png', "NUL"),
    "no path": (b"image,x\n,1\na.png,2", "no image in column 'image'"),
    "URL": (b"image\nhttp://127.0.0.1/a.png\na.png", "is a URL"),
    "URL of a file": (b"image\nfile:///etc/passwd\na.png", "is a URL"),
    "too many values": (b"image,x\na.png,1,2\nb.png,1", "has 3 values: expected 2"),
    "endless value": (b"image,x\na.png," + b"y" * 200_000 + b"\nb.png,1", "field larger"),
    "quote that never ends": (b'image,x\nb.png,1\na.png,"2\n' + UNQUOTED, "field larger"),
    "text in another encoding": (b"image,x\na.png,\xe9\nb.png,1", "save the table as UTF-8"),
}

JSON_ROWS: Mapping[str, tuple[bytes, str]] = {
    "no JSON": (b'{"image": \n' + lines({"image": "a.png"}), "is not JSON"),
    "another type": (b'[1]\n"x"\n' + lines({"image": "a.png"}), "expected an object"),
    "no image": (lines({"x": 1}, {"image": "a.png"}), "no image in column 'image'"),
    "number for an image": (lines({"image": 5}, {"image": "a.png"}), "holds int"),
    "list for an image": (lines({"image": ["a.png"]}, {"image": "a.png"}), "holds list"),
    "object for an image": (lines({"image": {"x": 1}}, {"image": "a.png"}), "holds dict"),
    "half a surrogate pair": (lines({"image": "a.png", "x": "\ud800"}), "not text in UTF-8"),
    "infinity": (lines({"image": "a.png", "x": float("inf")}), "finite"),
    "number of 65 bits": (lines({"image": "a.png", "x": 2**64}), "64 bits"),
    "number without an end": (b'{"image": "a.png", "x": ' + b"9" * 9000 + b"}", "is not JSON"),
    "nested without an end": (
        b'{"image": "a.png", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not JSON"),
    "nested deeply": (
        b'{"image": "a.png", "x": ' + b"[" * 500 + b"]" * 500 + b"}", "100 levels"),
    "bytes that are no text": (b'{"image": "a.png", "x": "\xff"}', "not text in UTF-8"),
}  # fmt: skip

FILES: Mapping[str, tuple[str, Callable[[Path], bytes], str]] = {
    "empty csv": ("t.csv", lambda f: b"", "expected different names"),
    "csv of blanks": ("t.csv", lambda f: b"\n\n\n", "expected different names"),
    "csv with one name twice": ("t.csv", lambda f: b"image,x,x\na.png,1,2", "different names"),
    "csv without the column": ("t.csv", lambda f: b"photo\na.png", "no such column"),
    "csv that is an image": ("t.csv", lambda f: (f / "a.png").read_bytes(), "column|not text"),
    "csv of too many columns": (
        "t.csv", lambda f: b"image," + b",".join(b"c%d" % n for n in range(20_000)), "20,001"),
    "csv of zeros": ("t.csv", lambda f: bytes(2**20), "column"),
    "line without an end": ("t.csv", lambda f: b"x" * (2**24 + 5), "a line of more than"),
    "json line without an end": ("t.jsonl", lambda f: b" " * (2**24 + 5), "a line of more than"),
    "half of utf-16": ("t.csv", lambda f: b"\xff\xfei\0m\0a\0g\0e\0\n\0\0\xd8a\0", "not text in"),
    "empty parquet": ("t.parquet", lambda f: b"", "cannot be read"),
    "parquet of noise": ("t.parquet", lambda f: os.urandom(5000), "cannot be read"),
    "parquet of magic only": ("t.parquet", lambda f: b"PAR1PAR1", "cannot be read"),
    "parquet with a footer of gigabytes": (
        "t.parquet",
        lambda f: b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1",
        "cannot be read",
    ),
    "parquet that is cut": (
        "t.parquet", lambda f: parquet(f, {"image": ["a.png"] * 99})[:-50], "cannot be read"),
    "parquet without the column": (
        "t.parquet", lambda f: parquet(f, {"photo": ["a.png"]}), "no such column"),
    "parquet of other types": ("t.parquet", lambda f: parquet(f, {"image": [1.5]}), "holds float"),
    "parquet of bytes": (
        "t.parquet", lambda f: parquet(f, {"image": ["a.png"], "x": [b"y"]}), "holds bytes"),
    "parquet of nested bytes": (
        "t.parquet", lambda f: parquet(f, {"image": ["a.png"], "x": [[{"y": b"z"}]]}), "bytes"),
    "parquet of no image": ("t.parquet", lambda f: parquet(f, {"image": [b"x"]}), "not an image"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "data", ["a", "b"])
    return tmp_path / "data"


@pytest.mark.parametrize("kind", ROWS)
def test_a_hostile_row_of_csv_is_an_outcome(folder: Path, kind: str) -> None:
    data, reason = ROWS[kind]
    check_rows(folder / "t.csv", data, reason)


@pytest.mark.parametrize("kind", JSON_ROWS)
def test_a_hostile_row_of_json_is_an_outcome(folder: Path, kind: str) -> None:
    data, reason = JSON_ROWS[kind]
    check_rows(folder / "t.jsonl", data, reason)


def check_rows(path: Path, data: bytes, reason: str) -> None:
    path.write_bytes(data)
    before = tree(path.parent)
    message = errors(Table(path))
    assert reason in message
    assert f"of {str(path)!r}: " in message
    assert cost(lambda: results(Table(path))) < MEMORY
    assert tree(path.parent) == before
    # The rows after a bad one are read.
    if data.count(b".png") > 1:
        assert "image" in results(Table(path)).values()


@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_table_is_an_outcome_or_an_error(folder: Path, kind: str) -> None:
    name, make, reason = FILES[kind]
    path = folder / name
    path.write_bytes(make(folder))
    messages: list[str] = []

    def read() -> None:
        try:
            messages.append(errors(Table(path)))
        except OnnxSearchError as error:
            messages.append(str(error))

    assert cost(read) < 2 * MEMORY
    assert any(part in messages[0] for part in reason.split("|")), messages


def test_a_table_reaches_no_private_address(folder: Path) -> None:
    with listening() as (port, met):
        path = folder / "t.csv"
        path.write_text(f"image\nhttp://127.0.0.1:{port}/a.png\nhttp://[::1]:{port}/b.png")
        found = results(Table(path, remote=RemotePolicy()))
    assert set(found.values()) == {"unsupported"}
    assert met == []


def test_a_root_may_be_widened_on_purpose(folder: Path) -> None:
    (folder / "t.csv").write_text(f"image\n{folder / 'a.png'}\n../data/b.png")
    assert list(results(Table(folder / "t.csv", root="/")).values()) == ["image", "missing"]
    (item, _) = Table(folder / "t.csv", root=folder.parent)
    assert isinstance(item, Item)
    assert item.image == str(folder / "a.png")
