"""Exports: an index in a file for other programs, and back."""

from __future__ import annotations

import csv
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metadata,
    MetadataStore,
    Metric,
    MissingExtraError,
    OnnxSearchError,
    Progress,
    Query,
    SearchEngine,
    SpaceMismatchError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    Tensor,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.catalog.exports import parquet_reader
from onnxsearch.testing import FakeEmbedder, Faults, picture, write_pictures
from tests.engine.stores import assert_consistent, faulty_engine
from tests.vectors.strategies import ROWS

Stores = tuple[VectorStore, MetadataStore]
NUMBER = 1100  # more than one row group


class Bits(FakeEmbedder):
    """A model of packed bits."""

    def __init__(self) -> None:
        super().__init__("bits")

    @property
    def metric(self) -> Metric:
        return Metric.HAMMING

    def run(self, batch: Tensor) -> Tensor:
        return batch[:, :2]


def embedders() -> list[FakeEmbedder]:
    return [FakeEmbedder("one"), FakeEmbedder("two.b", dimension=8)]


def new_engine(*models: FakeEmbedder) -> SearchEngine:
    return SearchEngine(models or embedders(), InMemoryVectorStore(), InMemoryMetadataStore())


@pytest.fixture(scope="module")
def filled() -> SearchEngine:
    engine = new_engine()
    for number in range(NUMBER):
        metadata = {"n": number, "tags": ["a", None], "place": {"city": "Rome"}}
        engine.add(picture(str(number)), id=f'it\'s "{number}" 😀', metadata=metadata)
    return engine


@pytest.fixture
def small(tmp_path: Path) -> Path:
    engine = new_engine()
    for name in ("cat", "dog"):
        engine.add(picture(name), id=name, metadata={"name": name})
    engine.export(tmp_path / "small.parquet")
    return tmp_path / "small.parquet"


def state(engine: SearchEngine) -> dict[str, object]:
    records = list(engine.records())
    return {
        record.id: (
            json.dumps(record.metadata),
            record,
            [engine.vectors(record.id, model).tolist() for model in sorted(record.models)],
        )
        for record in records
    }


def test_an_export_brings_the_same_hits(
    filled: SearchEngine, stores: Stores, tmp_path: Path
) -> None:
    """By way of each pair of stores, under two namespaces."""
    one = SearchEngine(embedders(), *stores, namespace="one")
    two = SearchEngine(embedders(), *stores, namespace="two")
    filled.copy_to(one)
    seen: list[Progress] = []
    assert one.export(tmp_path / "album.parquet", progress=seen.append) == NUMBER
    assert seen[-1].done == seen[-1].total == NUMBER
    assert two.import_from(tmp_path / "album.parquet").copied == NUMBER
    assert two.import_from(tmp_path / "album.parquet").unchanged == NUMBER
    assert len(two) == NUMBER
    for model in one.models:
        for number in range(0, NUMBER, 211):
            query = picture(str(number))
            (here, there) = (each.search(query, model=model, limit=10) for each in (one, two))
            assert there.to_dicts() == here.to_dicts()
    assert two.verify().ok


@given(rows=st.lists(ROWS, max_size=4), ids=st.sets(st.text(min_size=1), min_size=4, max_size=4))
@settings(max_examples=25)
def test_all_that_is_stored_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Metadata], ids: set[str]
) -> None:
    engine, other = new_engine(), new_engine()
    for number, (id, row) in enumerate(zip(sorted(ids), rows, strict=False)):
        engine.add(picture(str(number)), id=id, metadata=row)
    path = tmp_path_factory.mktemp("export") / "album.parquet"
    assert engine.export(path) == other.import_from(path).copied == len(rows)
    assert state(other) == state(engine)


def test_files_copies_and_odd_names_come_back(tmp_path: Path) -> None:
    engine, other = new_engine(), new_engine()
    for path in write_pictures(tmp_path / "album", ["a", "b"]):
        path.write_bytes((tmp_path / "album" / "a.png").read_bytes())
    engine.index(tmp_path / "album")
    engine.add(picture("odd"), id="\udcff")
    engine.export(tmp_path / "album.parquet")
    other.import_from(tmp_path / "album.parquet")
    assert state(other) == state(engine)
    assert other.copies() == engine.copies() != []
    frame = pd.read_parquet(tmp_path / "album.parquet")
    assert sorted(frame["id"]) == sorted([str(tmp_path / "album" / "a.png"), "\\udcff"])


def test_packed_bits_and_missing_vectors_come_back(tmp_path: Path) -> None:
    stores = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine(Bits(), *stores).add(picture("a"), id="a")
    engine = SearchEngine([Bits(), *embedders()], *stores)
    engine.add(picture("b"), id="b")
    engine.export(tmp_path / "album.parquet")
    other = new_engine(Bits(), *embedders())
    other.import_from(tmp_path / "album.parquet")
    assert state(other) == state(engine)
    record = other.get("a")
    assert record is not None
    assert record.models == ("bits",)
    assert other.search(Query.id("a"), model="bits", limit=1).ids == ["a"]


def test_other_programs_read_the_file(filled: SearchEngine, tmp_path: Path) -> None:
    filled.export(tmp_path / "album.parquet", F("n") < 3)
    frame = pd.read_parquet(tmp_path / "album.parquet").sort_values("id")
    assert list(frame.columns) == ["id", "uri", "metadata", "record", "vector.one", "vector.two.b"]
    assert [json.loads(text)["n"] for text in frame["metadata"]] == [0, 1, 2]
    matrix = np.stack(list(frame["vector.one"]))
    np.testing.assert_array_equal(matrix, filled.vectors(list(frame["id"]), "one"))


def test_records_as_lines_of_json(filled: SearchEngine, tmp_path: Path) -> None:
    seen: list[Progress] = []
    assert filled.export(tmp_path / "album.jsonl", F("n") < 300, progress=seen.append) == 300
    assert seen == [Progress(256, None), Progress(300, 300)]
    lines = (tmp_path / "album.jsonl").read_text("ascii").splitlines()
    assert list(map(json.loads, lines)) == filled.records(F("n") < 300, order_by="id").to_dicts()


def test_records_as_csv(tmp_path: Path) -> None:
    engine = new_engine()
    engine.add(picture("a"), id='a, "b"\nc', metadata={"n": 1, "o": {"x": [1]}, "é": True})
    engine.add(picture("b"), id="\udcff", metadata={"n": None, "t": "x"})
    assert engine.export(tmp_path / "ALBUM.CSV") == 2
    with open(tmp_path / "ALBUM.CSV", encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["metadata.n"], first["metadata.o"]) == (
        'a, "b"\nc',
        "1",
        '{"x": [1]}',
    )
    assert (first["metadata.é"], first["metadata.t"]) == ("true", "")
    assert (second["id"], second["metadata.n"], second["metadata.t"]) == ("\\udcff", "", "x")
    assert json.loads(first["models"]) == ["one", "two.b"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_an_empty_index_is_exported(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"album.{ending}"
    seen: list[Progress] = []
    assert new_engine().export(path, progress=seen.append) == 0
    assert path.exists()
    if ending == "parquet":
        assert new_engine().import_from(path).copied == 0
    else:
        assert seen == [Progress(0, 0)]
    if ending == "csv":
        assert path.read_text().startswith("id,uri,models")


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_an_export_that_fails_leaves_the_file_that_was_there(tmp_path: Path, ending: str) -> None:
    faults = Faults()
    engine = faulty_engine(InMemoryVectorStore(), InMemoryMetadataStore(), faults, "one")
    for number in range(300):
        engine.add(picture(str(number)), id=str(number))
    path = tmp_path / f"album.{ending}"
    path.write_text("before")
    faults.fail(at=3, on="get_many")
    with pytest.raises(StoreUnavailableError):
        engine.export(path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_text() == "before"
    faults.revive()
    assert engine.export(path) == 300


def test_where_an_export_cannot_be(tmp_path: Path) -> None:
    engine = new_engine()
    with pytest.raises(InvalidArgumentError, match=r"\.parquet .*\.csv"):
        engine.export(tmp_path / "album.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        engine.export(tmp_path / "folder.csv")
    with pytest.raises(StoreError, match="cannot be written"):
        engine.export(tmp_path / "nowhere" / "album.parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        engine.import_from(tmp_path / "nowhere.parquet")
    engine.add(picture("a"), metadata={f"field {n}": n for n in range(1001)})
    with pytest.raises(InvalidArgumentError, match="1,001 different fields"):
        engine.export(tmp_path / "album.csv")
    assert engine.export(tmp_path / "album.jsonl") == 1


def test_pyarrow_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (new_engine().export, new_engine().import_from):
        with pytest.raises(MissingExtraError, match=r"onnxsearch\[arrow\]"):
            call(tmp_path / "album.parquet")
    assert os.listdir(tmp_path) == []
    assert new_engine().export(tmp_path / "album.csv") == 0


def test_spaces_do_not_mix(small: Path) -> None:
    other = new_engine(FakeEmbedder("one", rankings={"a": ["b"]}))
    with pytest.raises(SpaceMismatchError):
        other.import_from(small)
    with pytest.raises(UnknownModelError):
        new_engine(FakeEmbedder("three")).import_from(small)
    assert len(other) == 0


# Files that come from anybody.


def rewritten(small: Path, change: Callable[[pa.Table], pa.Table], **options: object) -> Path:
    path = small.with_name("changed.parquet")
    pq.write_table(change(pq.read_table(small)), path, **options)
    return path


def header(table: pa.Table, **values: object) -> pa.Table:
    metadata = dict(table.schema.metadata)
    changed = {**json.loads(metadata[b"onnxsearch"]), **values}
    return table.replace_schema_metadata({**metadata, b"onnxsearch": json.dumps(changed)})


def model(table: pa.Table, **values: object) -> pa.Table:
    first, *others = json.loads(table.schema.metadata[b"onnxsearch"])["models"]
    return header(table, models=[{**first, **values}, *others])


def column(name: str, values: object, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(
        table.schema.get_field_index(name), pa.field(name, kind), pa.array(values, kind)
    )


def record(**values: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        first, second = table["record"].to_pylist()
        texts = [json.dumps({**json.loads(first), **values}), second]
        return column("record", texts, pa.string())(table)

    return change


FLOATS = pa.list_(pa.float32(), 16)
GOOD = [0.25] * 16
HOSTILE: dict[str, Callable[[pa.Table], pa.Table]] = {
    "no header": lambda t: t.replace_schema_metadata(None),
    "a header that is no JSON": lambda t: t.replace_schema_metadata({b"onnxsearch": b"{"}),
    "a header that is a list": lambda t: t.replace_schema_metadata({b"onnxsearch": b"[]"}),
    "a deep header": lambda t: t.replace_schema_metadata({b"onnxsearch": b"[" * 100_000}),
    "a long header": lambda t: t.replace_schema_metadata({b"onnxsearch": b" " * 2**21}),
    "another format": lambda t: header(t, format="something"),
    "a later version": lambda t: header(t, version=2),
    "models that are none": lambda t: header(t, models=["one"]),
    "a model with a path": lambda t: model(t, name="../one"),
    "a model without a column": lambda t: model(t, name="three"),
    "no dimension": lambda t: model(t, dimension=0),
    "another dimension": lambda t: model(t, dimension=17),
    "a large dimension": lambda t: model(t, dimension=2**30),
    "no such metric": lambda t: model(t, metric="x"),
    "bits that are numbers": lambda t: model(t, metric="hamming"),
    "a root that is none": lambda t: header(t, root=7),
    "no records": lambda t: t.drop_columns("record"),
    "no vectors": lambda t: t.drop_columns("vector.one"),
    "records twice": lambda t: t.append_column("record", t["record"]),
    "a record that is missing": column("record", [None, "{}"], pa.string()),
    "records that are numbers": column("record", [1, 2], pa.int64()),
    "a record that is no JSON": column("record", ["{", "}"], pa.string()),
    "a record without an id": column("record", ["{}", "{}"], pa.string()),
    "a bomb": column("record", ["x" * (5 * 2**20)] * 2, pa.string()),
    "vectors of any length": column("vector.one", [GOOD, GOOD], pa.list_(pa.float32())),
    "a long vector": column("vector.one", [[0.0] * 10**6, GOOD], pa.list_(pa.float32())),
    "vectors of doubles": column("vector.one", [GOOD, GOOD], pa.list_(pa.float64(), 16)),
    "vectors of another dimension": column(
        "vector.one", [[0.5] * 4] * 2, pa.list_(pa.float32(), 4)
    ),
    "a vector with NaN": column("vector.one", [GOOD, [float("nan")] * 16], FLOATS),
    "a vector with infinity": column("vector.one", [GOOD, [float("inf")] * 16], FLOATS),
    "a vector with a hole": column("vector.one", [GOOD, [None] * 16], FLOATS),
    "a vector that is missing": column("vector.one", [GOOD, None], FLOATS),
    "a record that lists a model less": record(models=["one"]),
    "an id that is none": record(id=7),
    "an empty id": record(id=""),
    "a long id": record(id="x" * 10**5),
    "metadata that are none": record(metadata=[1]),
    "large metadata": record(metadata={"a": "x" * 2**20}),
    "a hash that is none": record(content="../../etc"),
    "a path that is a number": record(uri=7),
    "a path that leaves the root": record(path="../../etc/passwd"),
    "paths that are numbers": record(paths=[7]),
    "an unknown model": record(models=["one", "two.b", "three"]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_no_export_is_refused(
    small: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    engine = new_engine()
    with pytest.raises(StoreCorruptError, match=r"is not an export|is of version"):
        engine.import_from(rewritten(small, change))
    assert len(engine) == 0
    assert_consistent(engine._catalog.vectors, engine._catalog.metadata)


@pytest.mark.integration
def test_rows_that_repeat_take_little_memory(small: Path) -> None:
    """A dictionary lets a small file hold a long text many times."""
    text = json.dumps({"id": "x", "metadata": {"a": "x" * 2**20}})[: -(2**12)] + '"}}'
    named = {b"onnxsearch": json.dumps({"format": "onnxsearch export", "version": 1, "models": []})}
    bomb = pa.table({"record": pa.array([text] * 100)}).replace_schema_metadata(named)
    path = small.with_name("bomb.parquet")
    pq.write_table(bomb, path, compression="zstd")
    assert path.stat().st_size < 2**16
    engine = new_engine()
    tracemalloc.start()
    try:
        engine.import_from(path)
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()
    assert len(engine) == 1


def test_large_row_groups_are_refused(filled: SearchEngine, tmp_path: Path) -> None:
    filled.export(tmp_path / "album.parquet")
    path = rewritten(tmp_path / "album.parquet", lambda table: table, row_group_size=2000)
    with pytest.raises(StoreCorruptError, match="a row group: 1,100 of at most 1,024"):
        new_engine().import_from(path)


@pytest.mark.parametrize(("extra", "is_refused"), [(1, True), (-(2**12), False)])
def test_records_of_a_row_group_have_17_mib_at_most(
    small: Path, extra: int, is_refused: bool
) -> None:
    most = 17 * 2**20
    path = small.with_name("long.parquet")
    text = json.loads(pq.read_schema(small).metadata[b"onnxsearch"])
    named = pa.table({"record": pa.array(["x" * (most + extra)])}).replace_schema_metadata(
        {b"onnxsearch": json.dumps({**text, "models": []})}
    )
    pq.write_table(named, path, compression="zstd", use_dictionary=False)
    with pytest.raises(StoreCorruptError) as caught:
        new_engine().import_from(path)
    assert (f"of at most {most:,}" in str(caught.value)) is is_refused


def test_a_damaged_file_is_an_error_or_the_same_data(small: Path) -> None:
    """A byte is changed at every place of the file."""
    data = small.read_bytes()
    path = small.with_name("damaged.parquet")
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        engine = new_engine()
        try:
            engine.import_from(path)
        except OnnxSearchError:
            continue
        assert len(engine) <= 2
        assert engine.verify().ok


@pytest.mark.parametrize("length", [0, 3, 4, 8, 100])
def test_a_file_that_is_cut_off_is_refused(small: Path, length: int) -> None:
    small.write_bytes(small.read_bytes()[:length])
    with pytest.raises(StoreCorruptError):
        new_engine().import_from(small)


@pytest.mark.integration
def test_a_batch_is_small(filled: SearchEngine, tmp_path: Path) -> None:
    filled.export(tmp_path / "album.parquet")
    with parquet_reader.ParquetExport(tmp_path / "album.parquet") as source:
        assert max(map(len, source.batches())) <= 256
        assert source.count() == NUMBER
