"""Engines on stores that fail, and what tests of the engine say about a pair of stores."""

from __future__ import annotations

from onnxsearch import MetadataStore, SearchEngine, VectorStore
from onnxsearch.catalog.journal import State, decode_entry
from onnxsearch.testing import FakeEmbedder, Faults, FaultyMetadataStore, FaultyVectorStore


def faulty_engine(
    vectors: VectorStore, metadata: MetadataStore, faults: Faults, *models: str
) -> SearchEngine:
    """Open an engine on stores that fail on demand; by default two models of unlike dimension."""
    named = [FakeEmbedder(model) for model in models]
    return SearchEngine(
        named or [FakeEmbedder("one"), FakeEmbedder("two", dimension=8)],
        FaultyVectorStore(vectors, faults),
        FaultyMetadataStore(metadata, faults),
    )


def assert_consistent(vectors: VectorStore, metadata: MetadataStore) -> None:
    """Every vector has a record, every record a vector in each model, nothing is under way."""
    keys = {key for key, _ in metadata.items("onnxsearch:records")}
    for collection in vectors.collections():
        assert set(vectors.ids(collection)) == keys, f"orphans in {collection}"
    current = {value.decode() for _, value in metadata.items("onnxsearch:ids")}
    assert current == keys
    states = {decode_entry(data).state for _, data in metadata.items("onnxsearch:journal")}
    assert states <= {State.TAKEN_BACK}, "writes are left unfinished"
