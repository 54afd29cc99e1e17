"""The contracts find and name the faults of a store or an embedder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each starts pytest in a process of its own.
pytestmark = pytest.mark.integration

BROKEN_STORES = """
from onnxsearch import InMemoryMetadataStore
from onnxsearch.testing import MetadataStoreContract

class Sorts(InMemoryMetadataStore):
    def _get_many(self, table, keys):
        return super()._get_many(table, sorted(keys))

class Forgets(InMemoryMetadataStore):
    def _commit(self, writes, expect):
        return super()._commit(writes, {})

class Tears(InMemoryMetadataStore):
    def _commit(self, writes, expect):
        if not super()._commit({}, expect):
            return False
        for cell in writes:
            super()._commit({cell: writes[cell]}, {})
            time.sleep(0.001)
        return True

class Confuses(InMemoryMetadataStore):
    def _get_many(self, table, keys):
        return [value or None for value in super()._get_many(table, keys)]

class TestSorts(MetadataStoreContract):
    durable = False
    def make_store(self, place="one"): return Sorts()

class TestForgets(MetadataStoreContract):
    durable = False
    def make_store(self, place="one"): return Forgets()

class TestTears(MetadataStoreContract):
    durable = False
    def make_store(self, place="one"): return Tears()

class TestConfuses(MetadataStoreContract):
    durable = False
    def make_store(self, place="one"): return Confuses()

class TestNotDurable(MetadataStoreContract):
    def make_store(self, place="one"): return InMemoryMetadataStore()
"""

BROKEN_VECTOR_STORES = """
import pytest
from onnxsearch import InMemoryVectorStore
from onnxsearch.testing import VectorStoreContract

class ListsLive(InMemoryVectorStore):
    def _ids(self, spec):
        return iter(self._table(spec)._places)

class GivesItsOwn(InMemoryVectorStore):
    def _fetch(self, spec, keys):
        table = self._table(spec)
        return {key: table._matrix[table._places[key]] for key in keys if key in table._places}

class Nameless(InMemoryVectorStore):
    __repr__ = object.__repr__

class SavesWhenClosed(InMemoryVectorStore):
    disk = {}
    def __init__(self, place):
        super().__init__()
        self._place = place
        self._tables = self.disk.get(place, {})
    def close(self):
        if self._tables is not None:
            self.disk[self._place] = self._tables
        super().close()

class TestListsLive(VectorStoreContract):
    durable = False
    def make_store(self, place="one"): return ListsLive()

class TestGivesItsOwn(VectorStoreContract):
    durable = False
    def make_store(self, place="one"): return GivesItsOwn()

class TestNameless(VectorStoreContract):
    durable = False
    def make_store(self, place="one"): return Nameless()

class TestSavesWhenClosed(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path): self.path = tmp_path
    def make_store(self, place="one"): return SavesWhenClosed(self.path / place)
"""

BROKEN_EMBEDDERS = """
import dataclasses
import itertools
import numpy as np
from onnxsearch import Embedder
from onnxsearch.images.reading import open_image
from onnxsearch.testing import EmbedderContract, FakeEmbedder

class OnlyPillow(FakeEmbedder):
    def prepare(self, image):
        image.size
        return super().prepare(image)

class Batches(FakeEmbedder):
    def run(self, batch):
        return super().run(batch) + super().run(batch).mean(axis=0)

class Random(FakeEmbedder):
    def run(self, batch):
        return np.random.default_rng().random((len(batch), self.dimension))

class Constant(FakeEmbedder):
    def run(self, batch):
        return np.ones((len(batch), self.dimension))

class Restless(FakeEmbedder):
    numbers = itertools.count()
    @property
    def fingerprint(self):
        return f"fake-{next(self.numbers)}"

class Tuples(FakeEmbedder):
    def describe(self):
        return dataclasses.replace(super().describe(), settings={"size": (8, 8)})

class TestTuples(EmbedderContract):
    def make_embedder(self): return Tuples()

class TestOnlyPillow(EmbedderContract):
    def make_embedder(self): return OnlyPillow()

class TestBatches(EmbedderContract):
    def make_embedder(self): return Batches()

class TestRandom(EmbedderContract):
    def make_embedder(self): return Random()

class TestConstant(EmbedderContract):
    def make_embedder(self): return Constant()

class TestRestless(EmbedderContract):
    def make_embedder(self): return Restless()
"""


def run_pytest(folder: Path, code: str) -> str:
    (folder / "test_it.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "test_it.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("stores"), BROKEN_STORES)


@pytest.fixture(scope="module")
def vector_stores(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("vector_stores"), BROKEN_VECTOR_STORES)


@pytest.fixture(scope="module")
def embedders(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("embedders"), BROKEN_EMBEDDERS)


@pytest.mark.parametrize(
    "failure",
    [
        "TestSorts::test_answers_in_the_order_asked",
        "TestForgets::test_writes_nothing_if_it_fails",
        "TestForgets::test_loses_no_increment",
        "TestTears::test_shows_whole_commits_only",
        "TestConfuses::test_returns_the_bytes_it_was_given[empty]",
        "TestNotDurable::test_keeps_its_data",
    ],
)
def test_finds_a_broken_store(stores: str, failure: str) -> None:
    assert failure in stores


def test_finds_a_broken_vector_store_and_nothing_else(vector_stores: str) -> None:
    """Each has one defect, which one test is there to find."""
    failures = {line.split()[1] for line in vector_stores.splitlines() if line[:6] == "FAILED"}
    assert failures == {
        "test_it.py::TestListsLive::test_lists_keys_while_rows_come_and_go",
        "test_it.py::TestGivesItsOwn::test_gives_copies",
        "test_it.py::TestNameless::test_has_a_name_for_messages",
        "test_it.py::TestSavesWhenClosed::test_keeps_rows_before_it_is_closed",
    }


def test_shows_what_differed_between_vector_stores(vector_stores: str) -> None:
    assert "' object at 0x' is contained here" in vector_stores


@pytest.mark.parametrize(
    "failure",
    [
        "TestOnlyPillow::test_takes_every_kind_of_picture[path]",
        "TestBatches::test_ignores_the_batch[3]",
        "TestRandom::test_repeats_itself",
        "TestConstant::test_tells_pictures_apart",
        "TestRestless::test_has_a_stable_fingerprint",
        "TestTuples::test_describes_itself",
    ],
)
def test_finds_a_broken_embedder(embedders: str, failure: str) -> None:
    assert failure in embedders


def test_shows_what_differed(stores: str) -> None:
    assert "assert [b'cat', b'dog'" in stores
