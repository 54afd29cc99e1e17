"""Runs every Python block of the README and the documentation as a test.

Each page is run from its top in a folder of its own, which holds what a reader
would have: `query.jpg`, and photographs in `photos` and `~/Pictures`. A block that
cannot run everywhere is preceded by a line that says why:

    <!--- skip: next "needs a Milvus server" -->

or that says which package it needs, and is skipped only where that is not installed:

    <!--- skip: next if(missing("haystack"), reason="needs the extra haystack") -->

No test and no block may connect to another machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from tests.network_guard import only_loopback

ALBUM = Path(__file__).parent / "examples" / "album"
QUERIES = ALBUM.with_name("queries")


def enter(namespace: dict[str, Any]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="onnxsearch-docs-"))
    namespace["missing"] = lambda package: find_spec(package) is None
    namespace["_before"] = Path.cwd(), os.environ.get("HOME"), folder
    shutil.copytree(ALBUM, folder / "photos")
    shutil.copytree(ALBUM, folder / "Pictures")
    shutil.copy(min(QUERIES.glob("*.jpg")), folder / "query.jpg")
    os.environ["HOME"] = str(folder)
    os.chdir(folder)


def leave(namespace: dict[str, Any]) -> None:
    before, home, folder = namespace["_before"]
    os.chdir(before)
    if home is None:
        del os.environ["HOME"]
    else:
        os.environ["HOME"] = home
    shutil.rmtree(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail every test, and every code block, that connects to another machine."""
    with only_loopback():
        return (yield)


# Fixtures too.
pytest_runtest_setup = pytest_runtest_teardown = pytest_runtest_call

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/**/*.md"],
    excludes=["docs/_build/*"],
    setup=enter,
    teardown=leave,
).pytest()
