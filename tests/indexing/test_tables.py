"""Tables as sources: rows become images, ids and typed metadata."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onnxsearch import (
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    RemotePolicy,
    SearchEngine,
    Table,
)
from onnxsearch.testing import FakeEmbedder, write_pictures
from tests.indexing.reading import cost, errors, jpeg, results
from tests.indexing.web import serving

IMAGE = jpeg()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path, ["a", "b", "pets/cat"])
    return tmp_path


def items(table: Table) -> Iterator[Item]:
    for entry in table:
        assert isinstance(entry, Item), entry
        yield entry


def text(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_a_csv_file_gives_images_ids_and_metadata(folder: Path) -> None:
    path = text(folder / "t.csv", "sku,image,price,title", '1,a.png,9.5,"x, ""y"""', "02,b.png,,z")
    first, second = items(Table(path, id="sku"))
    assert (first.image, first.id) == (str(folder / "a.png"), "1")
    assert first.metadata == {"price": 9.5, "title": 'x, "y"'}
    assert (second.id, second.metadata) == ("02", {"title": "z"})


def test_an_image_without_an_id_is_stored_under_its_path(folder: Path) -> None:
    path = text(folder / "t.csv", "image", "pets/cat.png")
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    report = engine.add_many(Table(path))
    assert [o.id for o in report.outcomes] == [str(folder / "pets" / "cat.png")]
    assert engine.add_many(Table(path)).counts["unchanged"] == 1


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["1", "2.50", ""], [1.0, 2.5, None]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1", "two", "3"], ["1", "two", "3"]),
        (["true", "False", "TRUE"], [True, False, True]),
        (["true", "1", ""], ["true", "1", None]),
        (["1e5", "nan", "inf"], ["1e5", "nan", "inf"]),
        (["9" * 30, "1", "2"], ["9" * 30, "1", "2"]),
    ],
)
def test_a_column_of_a_csv_file_has_one_type(
    folder: Path, cells: list[str], values: list[object]
) -> None:
    path = text(folder / "t.csv", "image,v", *(f"a.png,{cell}" for cell in cells))
    found = [dict(item.metadata or {}).get("v") for item in items(Table(path))]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_csv_files_of_spreadsheets_are_read(
    folder: Path, delimiter: str, encoding: str
) -> None:
    lines = ("image,größe", "a.png,5", "", "b.png,ü")
    path = text(
        folder / "t.csv", *(line.replace(",", delimiter) for line in lines), encoding=encoding
    )
    first, second = items(Table(path))
    assert (first.metadata, second.metadata) == ({"größe": "5"}, {"größe": "ü"})
    assert first.image == str(folder / "a.png")


def test_lines_may_end_in_any_way_and_values_hold_line_breaks(folder: Path) -> None:
    path = folder / "t.csv"
    path.write_bytes(b'image,title\r\na.png,"two\r\nlines"\r\nb.png,one')
    assert [item.metadata for item in items(Table(path))] == [
        {"title": "two\r\nlines"},
        {"title": "one"},
    ]


def test_a_json_lines_file_keeps_its_types(folder: Path) -> None:
    rows = [
        {"image": "a.png", "id": 7, "tags": ["x", "y"], "size": {"w": 3, "h": 1.5}, "none": None},
        {"image": "b.png", "id": "b", "price": math.nan, "ok": True},
    ]
    path = text(folder / "t.jsonl", *map(json.dumps, rows))
    first, second = items(Table(path, id="id"))
    assert (first.id, first.metadata) == ("7", {"tags": ["x", "y"], "size": {"w": 3, "h": 1.5}})
    assert (second.id, second.metadata) == ("b", {"ok": True})


TYPED: dict[str, Any] = {
    "when": dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC),
    "day": dt.date(2024, 5, 6),
    "hour": dt.time(7, 8),
    "lasts": dt.timedelta(minutes=2),
    "price": decimal.Decimal("19.99"),
    "count": decimal.Decimal("20"),
    "tags": ["a", "b"],
    "size": {"w": 1, "note": None},
    "flag": True,
    "missing": None,
    "nothing": math.nan,
}
EXPECTED = {
    "when": "2024-05-06T07:08:09+00:00",
    "day": "2024-05-06",
    "hour": "07:08:00",
    "lasts": 120.0,
    "price": 19.99,
    "count": 20,
    "tags": ["a", "b"],
    "size": {"w": 1, "note": None},
    "flag": True,
}


@pytest.mark.parametrize("kind", ["parquet", "table", "reader", "pandas"])
def test_values_of_arrow_become_json(folder: Path, kind: str) -> None:
    table = pa.table(
        {"image": ["a.png"], **{name: pa.array([value]) for name, value in TYPED.items()}}
    )
    data: Any = table
    if kind == "parquet":
        data = folder / "t.parquet"
        pq.write_table(table, data)
    elif kind == "reader":
        data = table.to_reader()
    elif kind == "pandas":
        data = table.to_pandas(types_mapper=pd.ArrowDtype)
    (item,) = items(Table(data, root=folder))
    assert item.metadata == EXPECTED
    assert item.image == str(folder / "a.png")


def test_a_pandas_frame_is_read_without_its_index(folder: Path) -> None:
    frame = pd.DataFrame(
        {
            "image": ["a.png", "b.png"],
            "sku": [1.0, math.nan],
            "when": pd.to_datetime(["2024-01-02 03:04:05.123456789", None]),
        },
        index=["x", "y"],
    )
    (first, second) = Table(frame, id="sku", root=folder)
    assert isinstance(first, Item)
    assert (first.id, first.metadata) == ("1", {"when": "2024-01-02T03:04:05.123456"})
    assert "expected an id" in errors([second])


def test_images_may_be_in_the_table(folder: Path) -> None:
    structs = [{"bytes": IMAGE, "path": "x.jpg"}, {"bytes": None, "path": "a.png"}, None]
    path = folder / "t.parquet"
    pq.write_table(pa.table({"image": structs, "label": [1, 2, 3]}), path)
    assert results(Table(path)) == {
        f"{path}#row=1": "image",
        str(folder / "a.png"): "image",
        f"{path}#row=3": "missing",
    }
    frame = pd.DataFrame({"image": [IMAGE, bytearray(IMAGE)], "name": ["x", "y"]})
    assert [item.id for item in items(Table(frame, id="name"))] == ["x", "y"]


def test_urls_are_downloaded_by_a_policy(folder: Path) -> None:
    with serving() as web:
        url = web.serve("/a.jpg", IMAGE)
        path = text(folder / "t.csv", "sku,image", f"7,{url}?token=x")
        policy = RemotePolicy(allow_private=True)
        assert results(Table(path, remote=policy)) == {url: "image"}
        (item,) = items(Table(path, id="sku", remote=policy))
        assert (item.id, item.uri) == ("7", url)
        assert web.asked == [web.asked[0]]
        assert "pass remote=RemotePolicy()" in errors(Table(path))


def test_only_the_columns_that_are_named_become_metadata(folder: Path) -> None:
    path = folder / "t.parquet"
    pq.write_table(pa.table({"image": ["a.png"], "a": [1], "b": [2], "thumb": [b"x"]}), path)
    (item,) = items(Table(path, metadata=["b"]))
    assert item.metadata == {"b": 2}
    with pytest.raises(InvalidArgumentError, match=r"'thumb' holds bytes.*metadata=\["):
        Table(path)


def test_a_missing_column_is_an_error_that_names_those_there_are(folder: Path) -> None:
    path = text(folder / "t.csv", "photo,title", "a.png,x")
    for arguments in ({}, {"image": "photo", "id": "sku"}, {"image": "photo", "metadata": ["b"]}):
        with pytest.raises(InvalidArgumentError, match=r"columns are 'photo', 'title'"):
            Table(path, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="columns are 'a'"):
        Table(pa.table({"a": [1]}))


def test_refuses_what_is_no_table(folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a table by its name: expected \.csv"):
        Table(folder / "a.png")
    with pytest.raises(ImageNotFoundError, match="there is no file"):
        Table(folder / "t.csv")
    with pytest.raises(InvalidArgumentError, match="data frame"):
        Table([{"image": "a.png"}])  # type: ignore[arg-type]


def test_a_table_in_memory_names_paths_of_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    rows = pa.table({"image": ["pets/cat.png", str(folder / "a.png"), "../nothing.png"]})
    assert list(results(Table(rows)).values()) == ["image", "image", "missing"]


def test_a_large_file_is_read_in_little_memory(folder: Path) -> None:
    path = folder / "t.jsonl"
    line = json.dumps({"image": "a.png", "text": "x" * 1000})
    path.write_text("\n".join([line] * 1_000))
    assert cost(lambda: sum(1 for _ in Table(path))) < 2**19
    csv = folder / "t.csv"
    csv.write_text("image,text\n" + ("a.png," + "x" * 1000 + "\n") * 1_000)
    assert cost(lambda: sum(1 for _ in Table(csv))) < 2**19


def test_ids_of_several_types(folder: Path) -> None:
    name = uuid.uuid4()
    rows = pa.table({"image": ["a.png"] * 2, "id": [5, None], "u": [name.hex, name.hex]})
    first, second = Table(rows, id="id", root=folder)
    assert isinstance(first, Item)
    assert first.id == "5"
    assert "row 2: column 'id' holds None" in errors([second])
