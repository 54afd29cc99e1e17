"""Fakes for the tests of applications, contracts for the authors of stores and embedders.

The fakes need only onnxsearch. The contracts are classes of pytest tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from onnxsearch.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxsearch.testing.embedder_contract import EmbedderContract
    from onnxsearch.testing.fakes import (
        FakeCalls,
        FakeEmbedder,
        picture,
        picture_bytes,
        write_pictures,
    )
    from onnxsearch.testing.faults import Faults, ProcessDied
    from onnxsearch.testing.faulty_stores import FaultyMetadataStore, FaultyVectorStore
    from onnxsearch.testing.keyword_contract import KeywordSearchContract
    from onnxsearch.testing.metadata_contract import MetadataStoreContract
    from onnxsearch.testing.vector_contract import VectorStoreContract

__all__ = [
    "EmbedderContract",
    "FakeCalls",
    "FakeEmbedder",
    "Faults",
    "FaultyMetadataStore",
    "FaultyVectorStore",
    "KeywordSearchContract",
    "MetadataStoreContract",
    "ProcessDied",
    "VectorStoreContract",
    "picture",
    "picture_bytes",
    "write_pictures",
]

_HOME = {
    "EmbedderContract": "embedder_contract",
    "FakeCalls": "fakes",
    "FakeEmbedder": "fakes",
    "Faults": "faults",
    "FaultyMetadataStore": "faulty_stores",
    "FaultyVectorStore": "faulty_stores",
    "KeywordSearchContract": "keyword_contract",
    "MetadataStoreContract": "metadata_contract",
    "ProcessDied": "faults",
    "VectorStoreContract": "vector_contract",
    "picture": "fakes",
    "picture_bytes": "fakes",
    "write_pictures": "fakes",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_HOME[name]}"
    if home.endswith("_contract"):
        try:
            import pytest
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"{name} is a class of pytest tests, and 'pytest' is not installed. Install it "
                "with: pip install pytest"
            ) from error

        # Before the module is imported, so that a failure says what differed.
        pytest.register_assert_rewrite(home)
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
