"""The command `serve` refuses what it cannot serve, before it listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from onnxsearch import SearchEngine
from onnxsearch.cli import serve  # noqa: F401  it adds its command
from onnxsearch.cli.app import app
from onnxsearch.serving.server import is_loopback


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["serve", *map(str, arguments)], env={"ONNXSEARCH_TOKEN": ""})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("index")
    SearchEngine.open(location).close()
    return location


def test_no_index(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing")
    assert result.exit_code == 1
    assert "there is no index" in result.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "photos.example"])
def test_other_machines_need_a_token(index: Path, host: str) -> None:
    result = run(index, "--host", host)
    assert result.exit_code == 1
    assert "ONNXSEARCH_TOKEN" in result.stderr


def test_token_that_is_too_short(index: Path) -> None:
    result = run(index, "--token", "hunter2")
    assert result.exit_code == 1
    assert "16 letters" in result.stderr
    assert "hunter2" not in result.stderr


def test_port_that_is_taken(index: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run(index, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "--port" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--max-upload", "0"], ["--max-pixels", "0"]]
)
def test_numbers_out_of_range(index: Path, arguments: list[str]) -> None:
    assert run(index, *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_addresses_that_only_this_machine_reaches(host: str, found: bool) -> None:
    assert is_loopback(host) is found


@pytest.mark.parametrize("prefix", ["photos", "https://photos.example", "/a b", "/a//b", "/é"])
def test_prefix_that_is_no_path(index: Path, prefix: str) -> None:
    result = run(index, "--prefix", prefix, "--port", "0")
    assert result.exit_code == 1
    assert "/photos" in result.stderr
