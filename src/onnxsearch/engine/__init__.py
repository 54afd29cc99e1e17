"""The search engine, a part of it a module."""

from __future__ import annotations

from onnxsearch.engine.base import DEFAULT_NAMESPACE
from onnxsearch.engine.facade import SearchEngine

__all__ = ["DEFAULT_NAMESPACE", "SearchEngine"]
