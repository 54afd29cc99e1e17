"""The contract of a `VectorStore`, as tests that authors of stores inherit."""

from __future__ import annotations

from onnxsearch.testing.vector_contract.collections import CollectionTests
from onnxsearch.testing.vector_contract.durability import DurabilityTests
from onnxsearch.testing.vector_contract.rows import RowTests
from onnxsearch.testing.vector_contract.search import SearchTests


class VectorStoreContract(CollectionTests, RowTests, SearchTests, DurabilityTests):
    """Inherit from this class in a test module, define how to make a store, and run pytest.

    The docstring of each test explains its failure. Tests of a metric that the
    store does not support are skipped.

    Example:
        >>> from onnxsearch.testing import VectorStoreContract
        >>> class TestMyStore(VectorStoreContract):
        ...     @pytest.fixture(autouse=True)
        ...     def place(self, tmp_path):
        ...         self.path = tmp_path
        ...     def make_store(self, place="one"):
        ...         return MyStore(self.path / place)
    """
