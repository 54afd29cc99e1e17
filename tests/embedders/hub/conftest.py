"""A hub on a loopback address, a cache of its own, and the command that downloads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onnxsearch.cli.hub import models as commands
from onnxsearch.embedders.hub.catalogue import catalogue
from tests.embedders.hub.families import family
from tests.hub_server import Hub, serve

pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
pytest.importorskip("tokenizers", reason="the extra [text] is not installed")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield served


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a cache into which a model of the catalogue was downloaded, to be copied."""

    @functools.cache
    def download(name: str) -> Path:
        folder, entry = tmp_path_factory.mktemp("downloads"), catalogue()[name]
        with serve() as served:
            served.add(entry.repository, family(name), entry.revision)
            variables = {"HF_ENDPOINT": served.url, "ONNXSEARCH_HUB": str(folder)}
            result = CliRunner().invoke(commands, ["get", name], env=variables)
        assert result.exit_code == 0, result.output
        return folder

    return download


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ONNXSEARCH_HUB", str(folder))
    return folder


@pytest.fixture
def models(cache: Path) -> Callable[..., Result]:
    """Run `onnxsearch models`, and return how it ended."""
    # Not the whole command line: typer reads the options of all commands, each time anew.
    return lambda *arguments: CliRunner().invoke(commands, list(map(str, arguments)))


@pytest.fixture
def get(models: Callable[..., Result]) -> Callable[..., Result]:
    """Download a model, which has to succeed."""

    def run(*arguments: object) -> Result:
        result = models("get", *arguments)
        assert result.exit_code == 0, result.output
        return result

    return run
