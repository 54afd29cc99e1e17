"""What a `VectorStore` must do, as tests that the authors of one inherit."""

from __future__ import annotations

from onnxsearch.testing.vector_contract.collections import CollectionTests
from onnxsearch.testing.vector_contract.durability import LastingTests
from onnxsearch.testing.vector_contract.rows import RowTests
from onnxsearch.testing.vector_contract.search import SearchTests


class VectorStoreContract(CollectionTests, RowTests, SearchTests, LastingTests):
    """Inherit it in a test module, tell how to make a store, and run pytest.

    Each test's docstring says what its failure means. Tests of a metric that the
    store does not have are skipped.

    Example:
        >>> from onnxsearch.testing import VectorStoreContract
        >>> class TestMyStore(VectorStoreContract):
        ...     @pytest.fixture(autouse=True)
        ...     def place(self, tmp_path):
        ...         self.path = tmp_path
        ...     def make_store(self, place="one"):
        ...         return MyStore(self.path / place)
    """
