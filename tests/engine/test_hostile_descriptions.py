"""Whatever an index says of its models, it opens the right ones or raises one of our errors."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from onnxsearch import (
    Cell,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    OnnxSearchError,
    SearchEngine,
)
from onnxsearch.locations import stored_embedders
from onnxsearch.testing import FakeEmbedder
from tests.embedders.models import colour_model

MANIFEST = Cell("onnxsearch:models", "manifest")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


class Index:
    """Two stores that remember one model."""

    def __init__(self, folder: Path) -> None:
        path = folder / "colours.onnx"
        path.write_bytes(colour_model())
        self.model = OnnxEmbedder(path, profile="keras-tf")
        self.vectors, self.records = InMemoryVectorStore(), InMemoryMetadataStore()
        SearchEngine(self.model, self.vectors, self.records)
        self.manifest = json.loads(self.records.get(*MANIFEST) or b"")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index(tmp_path_factory.mktemp("index"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value of a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


@given(data=st.data())
def test_any_value_in_any_place(index: Index, data: st.DataObject) -> None:
    changed = copy.deepcopy(index.manifest)
    *way, last = data.draw(st.sampled_from(list(places(changed))))
    parent = changed
    for key in way:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[last] = data.draw(JSON)
    else:
        del parent[last]
    index.records.commit({MANIFEST: json.dumps(changed).encode()})
    try:
        opened = stored_embedders(index.vectors, index.records, "onnxsearch", [])
    except OnnxSearchError:
        return
    assert [each.fingerprint for each in opened] in ([index.model.fingerprint], [])


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(index: Index, manifest: bytes) -> None:
    index.records.commit({MANIFEST: manifest})
    with pytest.raises(OnnxSearchError):
        stored_embedders(index.vectors, index.records, "onnxsearch", [])


def test_what_a_later_release_wrote_is_left_as_it_is() -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    SearchEngine([FakeEmbedder("a"), FakeEmbedder("b")], vectors, records)
    later = b'{"format": 2, "models": "in another way"}'
    records.commit({MANIFEST: later})
    engine = SearchEngine([FakeEmbedder("a"), FakeEmbedder("b")], vectors, records)
    with pytest.raises(OnnxSearchError, match="later onnxsearch"):
        engine.info()
    with pytest.raises(OnnxSearchError, match="later onnxsearch"):
        stored_embedders(vectors, records, "onnxsearch", [])
    engine.drop_model("b")
    assert records.get(*MANIFEST) == later
