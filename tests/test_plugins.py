"""Stores and embedders of other packages: found by name, only when they are named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxsearch import InvalidArgumentError, PluginError, SearchEngine
from onnxsearch.cli import search  # noqa: F401  it adds the command
from onnxsearch.testing import FakeEmbedder, picture, write_pictures
from tests.cli.test_commands import Run, run  # noqa: F401

MODULE = """
from onnxsearch import (
    InMemoryMetadataStore, InMemoryVectorStore, LocalVectorStore, SQLiteMetadataStore, StoreError
)
from onnxsearch.testing import FakeEmbedder


def vectors(url):
    return LocalVectorStore(url.partition("://")[2] + "/v.sqlite")


def records(url):
    return SQLiteMetadataStore(url.partition("://")[2] + "/r.sqlite")


def embedder(argument="4"):
    return FakeEmbedder(f"tiny-{argument}", dimension=int(argument))


def refusing(url):
    raise StoreError("the store refuses")


def failing(url):
    raise RuntimeError(f"cannot reach {url}")


def wrong(url):
    return 7


number = 7
"""

ENTRIES = {
    "onnxsearch.vectors": {
        "shelf": "acme_shelf:vectors",
        "refusing": "acme_shelf:refusing",
        "failing": "acme_shelf:failing",
        "wrong": "acme_shelf:wrong",
        "number": "acme_shelf:number",
        "absent": "acme_shelf:absent",
        "broken": "acme_broken:vectors",
        "https": "acme_shelf:wrong",
    },
    "onnxsearch.metadata": {"shelf": "acme_shelf:records", "redis": "acme_shelf:wrong"},
    "onnxsearch.embedders": {
        "tiny": "acme_shelf:embedder",
        "efficientnet-lite2": "acme_shelf:wrong",
    },
}


METADATA = "Metadata-Version: 2.1\nName: acme-shelf\nVersion: 2.1\n"


def entry_points_text(entries: dict[str, dict[str, str]]) -> str:
    lines = []
    for group, names in entries.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in names.items())]
    return "\n".join(lines) + "\n"


def package(folder: Path, name: str = "acme-shelf") -> None:
    """Write what an installer leaves of a package."""
    info = folder / f"{name.replace('-', '_')}-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.replace("acme-shelf", name))
    (info / "entry_points.txt").write_text(entry_points_text(ENTRIES))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    package(folder)
    (folder / "acme_shelf.py").write_text(MODULE)
    (folder / "acme_broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme_shelf", raising=False)
    return folder


def place(tmp_path: Path, scheme: str = "shelf") -> str:
    return f"{scheme}://{tmp_path}"


def test_an_index_in_stores_of_another_package(site: Path, tmp_path: Path) -> None:
    url = place(tmp_path)
    with SearchEngine.open(url, records=url, embedders=FakeEmbedder()) as engine:
        engine.add(picture("a"), id="a")
    assert (tmp_path / "v.sqlite").exists()
    with SearchEngine.open(url.upper().replace(str(tmp_path).upper(), str(tmp_path)), records=url,
                           embedders=FakeEmbedder()) as engine:  # fmt: skip
        assert engine.search(picture("a")).ids == ["a"]
    with SearchEngine.open(url, records=tmp_path / "own.sqlite", embedders=FakeEmbedder()):
        assert (tmp_path / "own.sqlite").exists()


def test_nothing_is_loaded_that_is_not_named(site: Path, tmp_path: Path) -> None:
    with SearchEngine.open(tmp_path / "album", embedders=FakeEmbedder()):
        pass
    with pytest.raises(InvalidArgumentError, match="installed packages bring") as refused:
        SearchEngine.open("unknown://place", records=tmp_path / "r", embedders=FakeEmbedder())
    assert "shelf://" in str(refused.value)
    assert "acme_shelf" not in sys.modules


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("broken", r"acme-shelf 2\.1.*cannot be imported.*a_package_that_is_not_there"),
        ("absent", r"acme-shelf 2\.1.*cannot be imported.*absent"),
        ("number", r"acme-shelf 2\.1.*is a int"),
        ("failing", r"acme-shelf 2\.1.*failed with RuntimeError"),
        ("wrong", r"acme-shelf 2\.1.*has made a int: expected a VectorStore"),
    ],
)
def test_a_broken_package_is_named(site: Path, tmp_path: Path, scheme: str, expected: str) -> None:
    url = f"{scheme}://user:hunter2@host"
    with pytest.raises(PluginError, match=expected) as failed:
        SearchEngine.open(url, records=tmp_path / "r.sqlite", embedders=FakeEmbedder())
    assert "hunter2" not in str(failed.value)


def test_errors_of_ours_pass_through(site: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="the store refuses") as failed:
        SearchEngine.open(place(tmp_path, "refusing"), records=tmp_path / "r.sqlite")
    assert type(failed.value).__name__ == "StoreError"


def test_two_packages_with_one_name(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "other", "other-shelf")
    monkeypatch.syspath_prepend(tmp_path / "other")
    with pytest.raises(PluginError, match=r"acme-shelf 2\.1 and other-shelf 2\.1"):
        SearchEngine.open(place(tmp_path), records=place(tmp_path))
    assert "acme_shelf" not in sys.modules


def test_names_of_this_package_cannot_be_taken(site: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="this is not a Redis URL"):
        SearchEngine.open(tmp_path / "album", records="redis://?x=1", embedders=FakeEmbedder())
    assert "acme_shelf" not in sys.modules


@pytest.mark.integration  # pymilvus takes seconds to be imported
def test_an_address_of_milvus_cannot_be_taken(site: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="this is not the URL of a Milvus server"):
        SearchEngine.open("https://host/a/b/c", records=tmp_path / "r", embedders=FakeEmbedder())
    assert "acme_shelf" not in sys.modules


def test_an_embedder_of_another_package(run: Run, site: Path, tmp_path: Path) -> None:  # noqa: F811
    write_pictures(tmp_path / "pictures", "abc")
    indexed = run("index", "pictures", "-m", "tiny:6")
    assert (indexed.exit_code, indexed.stderr) == (0, ""), indexed.output
    found = run("search", "pictures/b.png", "-m", "tiny:6", "--json")
    assert json.loads(found.stdout)["model"] == "tiny-6", found.output
    assert json.loads(found.stdout)["hits"][0]["uri"].endswith("b.png")
    other = run("search", "pictures/b.png", "-m", "tiny")
    assert "no model 'tiny-4'" in other.stderr
    refused = run("index", "pictures", "-m", "tiny:6", "--regions")
    assert (refused.exit_code, "model 'tiny:6' is of an installed" in refused.stderr) == (1, True)
    # An index does not import a class by itself.
    alone = run("search", "pictures/b.png")
    assert (alone.exit_code, "FakeEmbedder" in alone.stderr) == (1, True)


@pytest.mark.integration
def test_a_model_of_ours_stays_ours(run: Run, site: Path, tmp_path: Path) -> None:  # noqa: F811
    write_pictures(tmp_path / "pictures", "a")
    assert run("index", "pictures", "-m", "efficientnet-lite2").exit_code == 0
    assert run("search", "pictures/a.png", "-m", "efficientnet-lite2").exit_code == 0
    assert "acme_shelf" not in sys.modules
    unknown = run("index", "pictures", "-m", "no-such-model")
    assert (unknown.exit_code, "efficientnet" in unknown.stderr) == (1, True)


# --- a package that is really installed


@pytest.fixture
def installer() -> Callable[[Path, Path], None]:
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        pytest.skip("uv is not installed")

    def install(wheel: Path, target: Path) -> None:
        command = [uv, "pip", "install", "--offline", "--no-deps", "--target", target, wheel]
        subprocess.run(command, check=True, capture_output=True)

    return install


@pytest.mark.integration
def test_a_package_that_is_really_installed(
    installer: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    wheel = tmp_path / "acme_shelf-2.1-py3-none-any.whl"
    info = "acme_shelf-2.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme_shelf.py", MODULE)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: acme-shelf\nVersion: 2.1\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", entry_points_text(ENTRIES))
        archive.writestr(f"{info}/RECORD", "")
    installer(wheel, tmp_path / "target")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from onnxsearch import SearchEngine\n"
        "from onnxsearch.testing import FakeEmbedder, picture\n"
        "url = 'shelf://' + sys.argv[2]\n"
        "with SearchEngine.open(url, records=url, embedders=FakeEmbedder()) as engine:\n"
        "    engine.add(picture('a'), id='a')\n"
        "    print(engine.search(picture('a')).ids)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "target"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("['a']\n", "")
