"""Without its framework, a module says which extra brings it."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from onnxsearch import MissingExtraError


@pytest.mark.parametrize(
    ("module", "package", "distribution"),
    [
        ("langchain", "langchain_core", "langchain-core"),
        ("llamaindex", "llama_index", "llama-index-core"),
        ("haystack", "haystack", "haystack-ai"),
        ("sklearn", "sklearn", "scikit-learn"),
    ],
)
def test_a_missing_framework(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, distribution: str
) -> None:
    loaded = [name for name in sys.modules if name.split(".")[0] == package]
    for name in {package, *loaded}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"onnxsearch.integrations.{module}", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        import_module(f"onnxsearch.integrations.{module}")
    assert f"'{distribution}' is not installed" in str(caught.value)
    assert f'"onnxsearch[{module}]"' in str(caught.value)
