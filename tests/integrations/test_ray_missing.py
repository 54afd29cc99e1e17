"""Without Ray, its adapter says how to get it."""

from __future__ import annotations

import sys

import pytest

from onnxsearch import MissingExtraError


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "onnxsearch.integrations.ray", raising=False)
    with pytest.raises(MissingExtraError, match=r"onnxsearch\[ray\]"):
        import onnxsearch.integrations.ray  # noqa: F401
