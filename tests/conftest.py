"""What every test can use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.servers import MilvusServer

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# No deadlines: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Find real models and photos beside the checkout, or skip the test.

    Example:
        def test_vgg16(shared):
            model = shared("models/vgg16-notop.onnx")
    """

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"../shared/{name} is not beside this checkout")
        return path

    return find


@pytest.fixture(scope="session")
def album() -> Path:
    """Return the folder of openly licensed photos that comes with the examples."""
    return ROOT / "examples" / "album"


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Milvus server for all tests that want one, or skip them.

    `ONNXSEARCH_TEST_MILVUS_URI` names one that runs already. Each test makes
    databases or collections of its own there.
    """
    given = os.environ.get("ONNXSEARCH_TEST_MILVUS_URI")
    if given is not None:
        yield given
        return
    with MilvusServer(tmp_path_factory.mktemp("milvus") / "server").start() as server:
        yield server.url
