"""Nothing that users type reaches another row: not ids, names, metadata or filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from onnxsearch import (
    CollectionNotFoundError,
    CollectionSpec,
    F,
    Filter,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    Metadata,
    MetadataStore,
    RedisMetadataStore,
    SearchEngine,
    SQLiteMetadataStore,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.testing.vector_samples import key, random_vectors
from tests.servers import RedisServer, milvus_database

HOSTILE = (
    "it's",
    '"quoted"',
    "back\\slash",
    "\\",
    "') or id in ['",
    "zzz'] or id in ['a','b",
    '" or id != "',
    "x'; DROP TABLE vectors; --",
    "%",
    "_",
    "*",
    "[x]{y}(z)",
    "{onnxsearch}:records",
    "\r\nFLUSHALL\r\n",
    "\0",
    "a\0b",
    "\n",
    "🦊👩‍👩‍👧‍👦",
    "\u202eevil",
    "e\u0301",
    "\u00e9",
    " ",
    "../../etc/passwd",
    "true",
    "null",
    "1",
)
LONG = "x'\"\\🦊" * 8_192  # 64 Ki characters


@pytest.fixture(
    params=[
        "memory",
        "local",
        "lite",
        pytest.param("redis", marks=pytest.mark.integration),
        pytest.param("server", marks=pytest.mark.integration),
    ]
)
def stores(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[VectorStore, MetadataStore]]:
    if request.param == "memory":
        yield InMemoryVectorStore(), InMemoryMetadataStore()
    elif request.param == "redis":
        with (
            RedisServer(tmp_path / "redis").start() as server,
            LocalVectorStore(tmp_path / "vectors.sqlite") as vectors,
            RedisMetadataStore(server.url) as metadata,
        ):
            yield vectors, metadata
    else:
        with (
            opened(request, tmp_path) as vectors,
            SQLiteMetadataStore(tmp_path / "records.sqlite") as metadata,
        ):
            yield vectors, metadata


def opened(request: pytest.FixtureRequest, folder: Path) -> VectorStore:
    if request.param == "local":
        return LocalVectorStore(folder / "vectors.sqlite")
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
    from onnxsearch import MilvusVectorStore

    if request.param == "lite":
        return MilvusVectorStore(folder / "vectors.db")
    url = request.getfixturevalue("milvus_url")
    return MilvusVectorStore(url, db_name=milvus_database(url, "injection"))


def test_hostile_pictures_are_found_and_removed_alone(
    stores: tuple[VectorStore, MetadataStore],
) -> None:
    engine = SearchEngine(FakeEmbedder(), *stores)
    rows: Mapping[str, Metadata] = {
        text: {text: text, "said": text, "tags": [text], "number": number, "in": {text: text}}
        for number, text in enumerate(HOSTILE)
    }
    rows = {**rows, "bystander": {"said": "nothing"}, LONG: {"said": "long"}}
    for id, metadata in rows.items():
        assert engine.add(picture(id[:80]), id=id, metadata=metadata) == id
    assert engine.count() == len(rows)
    for text in HOSTILE:
        record = engine.get(text)
        assert record is not None
        assert record.metadata == rows[text]
        for filter in (
            F("said") == text,
            F("said").in_([text, "absent"]),
            F("tags").contains(text),
            F(text) == text,
            F("in", text) == text,
            F("in", text).exists(),
            F.parse(str((F("in", text) == text) & (F("said") == text))),
            F.from_dict({"field": ["in", text], "startswith": text}) & (F("said") == text),
            F(text).exists() & F("said").startswith(text) & ~F("said").exists()
            | (F("said") == text),
        ):
            assert engine.search(picture("query"), limit=50, filter=filter).ids == [text], filter
        starting = sorted(other for other in HOSTILE if other.startswith(text))
        found = engine.search(picture("query"), limit=50, filter=F("said").startswith(text))
        assert sorted(found.ids) == starting
    assert engine.search(picture(LONG[:80]), limit=1).ids == [LONG]
    assert engine.search(picture("query"), filter=F("said") == LONG).ids == []
    left = set(rows)
    for text in (*HOSTILE, LONG):
        assert engine.remove(text) == [text]
        left.remove(text)
        assert engine.count() == len(left)
    assert engine.search(picture("query"), limit=50).ids == ["bystander"]
    assert engine.verify().ok


def test_long_metadata_are_kept_or_refused(stores: tuple[VectorStore, MetadataStore]) -> None:
    engine = SearchEngine(FakeEmbedder(), *stores)
    engine.add(picture("bystander"), id="bystander", metadata={"said": "nothing"})
    cases: list[tuple[Metadata, Filter]] = [
        ({"said": LONG}, F("said") == LONG),
        ({LONG: "said"}, F(LONG) == "said"),
        ({"tags": [LONG]}, F("tags").contains(LONG)),
    ]
    for metadata, filter in cases:
        try:
            engine.add(picture("long"), id="long", metadata=metadata)
        except InvalidArgumentError as refusal:
            assert "65536" in str(refusal)
            assert engine.get("long") is None
            assert engine.count() == 1
        else:
            record = engine.get("long")
            assert record is not None
            assert record.metadata == metadata
            found = engine.search(picture("q"), filter=filter)
            assert found.ids == ["long"]
            engine.remove("long")
    assert engine.search(picture("q")).ids == ["bystander"]
    assert engine.verify().ok


def test_hostile_names_of_collections_are_refused(
    stores: tuple[VectorStore, MetadataStore],
) -> None:
    vectors, metadata = stores
    spec = CollectionSpec("photos", 8, "model-1")
    vectors.ensure_collection(spec)
    vectors.upsert("photos", [key(1)], random_vectors(spec, 1))
    hostile_names = set(HOSTILE) - {"true", "null"}
    for name in (*hostile_names, LONG, "photos ", "photos'", "photos\0", ""):
        with pytest.raises(InvalidArgumentError, match="name"):
            CollectionSpec(name, 8, "model-1")
        with pytest.raises(InvalidArgumentError):
            SearchEngine(FakeEmbedder(), vectors, metadata, namespace=name)
        with pytest.raises(CollectionNotFoundError):
            vectors.count(name)
        vectors.drop(name)
    assert vectors.collections() == ["photos"]
    assert vectors.count("photos") == 1
    hostile = CollectionSpec("hostile", 8, HOSTILE[4] + LONG)
    try:
        vectors.ensure_collection(hostile)
    except InvalidArgumentError:
        assert vectors.collections() == ["photos"]
    else:
        assert vectors.describe("hostile") == hostile
