"""The documentation says what there is, and skips nothing without a reason."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import onnxsearch.errors
import onnxsearch.filters
import onnxsearch.testing

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def test_every_public_name_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)$", reference, re.M))
    errors = {name for name in onnxsearch.__all__ if hasattr(onnxsearch.errors, name)}
    assert ".. automodule:: onnxsearch.errors" in reference
    modules = (onnxsearch, onnxsearch.filters, onnxsearch.testing)
    public = {name for module in modules for name in module.__all__} - {"__version__"}
    assert public - errors - documented == set()


def test_the_reference_names_things_by_where_they_are_imported_from() -> None:
    reference = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    paths = re.findall(r"^\.\. auto(?:class|function|data):: ([\w.]+)$", reference, re.M)
    assert paths
    for path in paths:
        home, _, name = path.rpartition(".")
        try:
            module = import_module(home or "onnxsearch")
        except onnxsearch.MissingExtraError:  # a framework that this environment does not have
            continue
        assert name in module.__all__, path


def test_every_error_has_a_remedy() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    errors = {name for name in onnxsearch.errors.__all__ if name.endswith("Error")}
    groups = {"OnnxSearchError", "ImageError", "ModelError"}
    assert told == errors - groups


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_skipped_blocks_give_a_reason(page: Path) -> None:
    for directive in re.findall(r"<!---\s*skip:.*?-->", page.read_text(encoding="utf-8"), re.S):
        assert re.search(r'"[^"]{10,}"', directive), f"no reason in {directive!r}"
