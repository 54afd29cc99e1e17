"""Search results, records and reports as tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metadata,
    MissingExtraError,
    SearchEngine,
    Tabular,
)
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.vectors.strategies import ROWS


def engine_with(*rows: Metadata) -> SearchEngine:
    """Return an engine of two models with an image for each metadata; the ids are 0, 1, 2..."""
    models = [FakeEmbedder("one"), FakeEmbedder("two")]
    engine = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())
    for number, metadata in enumerate(rows):
        engine.add(picture(str(number)), id=str(number), metadata=metadata)
    return engine


@pytest.fixture
def engine() -> SearchEngine:
    return engine_with({"label": "a", "n": 1}, {"label": "a", "tags": ["x"]}, {"label": "b"})


def tables(engine: SearchEngine, folder: Path) -> dict[str, Tabular]:
    return {
        "results": engine.search(picture("0")),
        "records": engine.records(order_by="id"),
        "report": engine.index(write_pictures(folder, ["a", "b"])),
        "comparison": engine.compare([picture("0"), picture("1")]),
        "evaluation": engine.evaluate({"0": "a", "1": "a", "2": "b"}, k=(1,)),
        "verification": engine.verify(),
    }


def test_every_table_has_its_rows_in_each_form(engine: SearchEngine, tmp_path: Path) -> None:
    rows = {"results": 3, "records": 5, "report": 2, "comparison": 20, "verification": 0}
    for name, table in tables(engine, tmp_path).items():
        dicts, frame, arrow = table.to_dicts(), table.to_pandas(), table.to_arrow()
        assert len(dicts) == len(frame) == arrow.num_rows == rows.get(name, len(dicts))
        assert list(frame.columns) == arrow.column_names
        for row in dicts:
            assert set(row) - {"metadata"} <= set(frame.columns)


def test_results_have_ranks_and_metadata(engine: SearchEngine) -> None:
    results = engine.search(picture("0"))
    first, *_ = results.to_dicts()
    assert first["rank"] == 1
    assert (first["id"], first["metadata"]) == ("0", {"label": "a", "n": 1})
    frame = results.to_pandas().set_index("id")
    assert frame["distance"]["0"] == pytest.approx(0, abs=1e-6)
    assert frame["metadata.label"].to_dict() == {"0": "a", "1": "a", "2": "b"}
    assert frame["metadata.n"]["0"] == 1


def test_a_comparison_and_an_evaluation_name_models(engine: SearchEngine, tmp_path: Path) -> None:
    made = tables(engine, tmp_path)
    comparison = made["comparison"].to_pandas()
    assert set(comparison["query"]) == {0, 1}
    assert set(comparison["model"]) == {"one", "two"}
    measures = made["evaluation"].to_pandas().set_index(["model", "measure"])["value"]
    assert set(measures["one"].index) == {
        *("precision@1", "recall@1", "mean_average_precision", "ndcg")
    }


def test_an_empty_table_has_columns() -> None:
    records = engine_with().records()
    for columns in (list(records.to_pandas().columns), records.to_arrow().column_names):
        assert columns[:2] == ["id", "uri"]
    schema = records.to_arrow().schema
    assert schema.field("modified_ns").type == pa.int64()
    assert schema.field("expires").type == pa.float64()
    assert schema.field("models").type == pa.list_(pa.string())


@given(rows=st.lists(ROWS, min_size=1, max_size=5))
@settings(max_examples=50)
def test_any_metadata_make_a_table(rows: list[Metadata]) -> None:
    records = engine_with(*rows).records(order_by="id")
    arrow, frame = records.to_arrow(), records.to_pandas()
    names = {f"metadata.{name}" for row in rows for name in row}
    assert {name for name in arrow.column_names if name.startswith("metadata.")} == names
    for name in names:
        given = [row.get(name.removeprefix("metadata.")) for row in rows]
        assert [value is None for value in arrow[name].to_pylist()] == [v is None for v in given]
        assert frame[name].isna().tolist() == [v is None for v in given]


def test_a_field_of_several_types_is_json_in_arrow() -> None:
    engine = engine_with({"a": 1, "o": {"x": 1}}, {"a": "one"}, {"a": True}, {"a": None}, {})
    arrow = engine.records(order_by="id").to_arrow()
    assert arrow["metadata.a"].to_pylist() == ["1", '"one"', "true", None, None]
    assert arrow["metadata.o"].to_pylist()[0] == '{"x": 1}'


def test_records_that_expire_make_a_table() -> None:
    engine = engine_with()
    engine.add(picture("a"), id="a", ttl=1000)
    (expires,) = engine.records().to_arrow()["expires"].to_pylist()
    assert expires == engine.records().to_pandas()["expires"][0]


def test_large_integers_stay_exact_beside_missing_values(tmp_path: Path) -> None:
    engine = engine_with({"n": 2**62 + 1}, {})
    engine.index(write_pictures(tmp_path, ["a"]))
    frame = engine.records(order_by="id").to_pandas().set_index("id")
    record = engine.get(str(tmp_path / "a.png"))
    assert record is not None
    assert frame["metadata.n"]["0"] == 2**62 + 1
    assert frame["modified_ns"][record.id] == record.modified_ns
    assert frame["modified_ns"]["0"] is pd.NA


def test_names_that_are_not_unicode_are_escaped() -> None:
    engine = engine_with()
    engine.add(picture("a"), id="\udcff.png")
    assert engine.records().to_dicts()[0]["id"] == "\udcff.png"
    assert engine.records().to_pandas()["id"].tolist() == ["\\udcff.png"]
    assert engine.records().to_arrow()["id"].to_pylist() == ["\\udcff.png"]


def test_names_of_fields_that_are_data_are_refused() -> None:
    engine = engine_with(*({f"{n} {m}": 1 for m in range(400)} for n in range(3)))
    for form in (engine.records().to_pandas, engine.records().to_arrow):
        with pytest.raises(InvalidArgumentError, match="1,200 different fields"):
            form()
    assert len(engine.records().to_dicts()) == 3


@pytest.mark.parametrize(("package", "extra"), [("pandas", "pandas"), ("pyarrow", "arrow")])
def test_a_missing_package_is_named(
    engine: SearchEngine, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    records = engine.records()
    with pytest.raises(MissingExtraError, match=rf"onnxsearch\[{extra}\]"):
        records.to_pandas() if extra == "pandas" else records.to_arrow()
