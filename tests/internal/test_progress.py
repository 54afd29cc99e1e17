"""What `progress=True` shows, and where."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, Progress, SearchEngine
from onnxsearch._internal.progress import reporter
from onnxsearch.testing import FakeEmbedder, write_pictures


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def opened_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not a fixture: pytest puts its own stream there after the fixtures.
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture
def without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


@pytest.fixture
def index_three(tmp_path: Path) -> Callable[[], None]:
    write_pictures(tmp_path, "abc")

    def index() -> None:
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        SearchEngine(FakeEmbedder(), *stores).index(tmp_path, progress=True)

    return index


def test_a_terminal_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, index_three: Callable[[], None]
) -> None:
    terminal = opened_terminal(monkeypatch)
    index_three()
    shown = terminal.getvalue()
    assert "3/3" in shown
    assert "images/s" in shown
    assert "100%|" in shown
    assert shown.endswith("\n")


@pytest.mark.usefixtures("without_tqdm")
def test_without_tqdm_it_shows_a_line(
    monkeypatch: pytest.MonkeyPatch, index_three: Callable[[], None]
) -> None:
    terminal = opened_terminal(monkeypatch)
    index_three()
    assert "3 of 3 images" in terminal.getvalue()
    assert "%|" not in terminal.getvalue()


def test_a_file_gets_lines_and_no_bar(
    capsys: pytest.CaptureFixture[str], index_three: Callable[[], None]
) -> None:
    index_three()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\r" not in shown.err
    assert shown.err.startswith("3 of 3 images")


def test_a_total_that_becomes_known(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = opened_terminal(monkeypatch)
    report = reporter(True)
    report(Progress(1, None))
    report(Progress(2, 2))
    assert "2/2" in terminal.getvalue()


def test_a_notebook_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    index_three: Callable[[], None],
) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    index_three()
    assert "3/3" in capsys.readouterr().err


def test_the_shell_of_ipython_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    index_three: Callable[[], None],
) -> None:
    shell = SimpleNamespace(config={"TerminalIPythonApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    index_three()
    assert "3 of 3 images" in capsys.readouterr().err


@pytest.mark.integration
def test_tqdm_is_imported_when_it_is_needed() -> None:
    program = (
        "import sys, onnxsearch.engine\n"
        "from onnxsearch._internal.progress import reporter\n"
        "reporter(False), reporter(print), reporter(True)\n"
        "print('tqdm' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "False\n"  # its standard error is no terminal


@pytest.mark.integration
def test_a_real_notebook_shows_a_bar(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    write_pictures(tmp_path, "abc")
    cell = nbformat.v4.new_code_cell(
        "from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine\n"
        "from onnxsearch.testing import FakeEmbedder\n"
        "engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())\n"
        "engine.index('.', progress=True)"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    shown = "".join(each.text for each in cell.outputs if each.get("name") == "stderr")
    assert "3/3" in shown or "HBox" in str(cell.outputs)
    assert "Warning" not in shown
