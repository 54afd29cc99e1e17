"""Locations, models and pictures that cannot be: clear errors, at once."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxsearch import (
    ImageNotFoundError,
    InvalidArgumentError,
    ModelLoadError,
    OnnxEmbedder,
    OnnxSearchError,
    ProfileError,
    ProviderError,
    SearchEngine,
    StoreError,
    StoreUnavailableError,
    UnsupportedImageError,
)
from onnxsearch.embedders.bundled import bundled_model
from onnxsearch.errors import without_secrets
from onnxsearch.testing import FakeEmbedder

FAKE = FakeEmbedder()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def search(folder: Path, query: Path) -> object:
    with SearchEngine.open(folder / "album", embedders=FAKE) as engine:
        return engine.search(query)


CASES: dict[str, tuple[Callable[[Path], object], type[OnnxSearchError], str]] = {
    "unknown scheme": (
        lambda tmp: SearchEngine.open("ftp://user:secret@host/x", embedders=FAKE),
        InvalidArgumentError,
        "expected a folder",
    ),
    "a file as folder": (
        lambda tmp: SearchEngine.open(tmp / "text.txt", embedders=FAKE),
        InvalidArgumentError,
        "is a file",
    ),
    "a folder below a file": (
        lambda tmp: SearchEngine.open(tmp / "text.txt" / "album", embedders=FAKE),
        StoreError,
        "cannot be made",
    ),
    "a server without records": (
        lambda tmp: SearchEngine.open("http://127.0.0.1:1", embedders=FAKE),
        OnnxSearchError,
        "",
    ),
    "no Milvus there": (
        lambda tmp: SearchEngine.open(
            f"http://127.0.0.1:{closed_port()}", embedders=FAKE, records=tmp / "records.sqlite"
        ),
        StoreUnavailableError,
        "127.0.0.1",
    ),
    "no Redis there": (
        lambda tmp: SearchEngine.open(
            tmp / "album",
            embedders=FAKE,
            records=f"redis://user:secret@127.0.0.1:{closed_port()}/0",
        ),
        StoreUnavailableError,
        "127.0.0.1",
    ),
    "records nowhere": (
        lambda tmp: SearchEngine.open(tmp / "album", embedders=FAKE, records="mysql://host"),
        InvalidArgumentError,
        "redis://",
    ),
    "a misspelt scheme": (
        lambda tmp: SearchEngine.open("milvus://root:sec/ret@host", embedders=FAKE),
        InvalidArgumentError,
        r"milvus://***@host",
    ),
    "a port that is none": (
        lambda tmp: SearchEngine.open("http://root:secret@host:99999", embedders=FAKE),
        InvalidArgumentError,
        "http://",
    ),
    "records behind a misspelt scheme": (
        lambda tmp: SearchEngine.open(
            tmp / "album", embedders=FAKE, records="reddis://user:sec/ret@host:6379/0"
        ),
        InvalidArgumentError,
        "redis://",
    ),
    "a NUL": (
        lambda tmp: SearchEngine.open(tmp / "a\0b", embedders=FAKE),
        InvalidArgumentError,
        "NUL",
    ),
    "a missing query": (
        lambda tmp: search(tmp, tmp / "absent.jpg"),
        ImageNotFoundError,
        "absent.jpg",
    ),
    "a folder as query": (
        lambda tmp: search(tmp, tmp),
        UnsupportedImageError,
        "folder",
    ),
    "text as query": (
        lambda tmp: search(tmp, tmp / "text.txt"),
        UnsupportedImageError,
        "text.txt",
    ),
    "a missing model": (
        lambda tmp: OnnxEmbedder(tmp / "absent.onnx", profile="keras-caffe"),
        ModelLoadError,
        "absent.onnx",
    ),
    "text as model": (
        lambda tmp: OnnxEmbedder(tmp / "text.txt", profile="keras-caffe"),
        ModelLoadError,
        "text.txt",
    ),
    "an unknown profile": (
        lambda tmp: OnnxEmbedder(bundled_model("efficientnet-lite0"), profile="keras-coffee"),
        ProfileError,
        "keras-caffe",
    ),
    "a provider that is not here": (
        lambda tmp: OnnxEmbedder(
            bundled_model("efficientnet-lite0"), providers=["CUDAExecutionProvider"]
        ),
        ProviderError,
        "CUDAExecutionProvider",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_told_clearly_and_soon(case: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("neither picture nor model nor folder")
    attempt, error, word = CASES[case]
    started = time.monotonic()
    with pytest.raises(error) as caught:
        attempt(tmp_path)
    assert time.monotonic() - started < 5
    assert word in str(caught.value)
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["root:secret@host:1", "http:/root:sec/ret@host:1", "a:secret@b.db"]
)
def test_credentials_without_a_scheme_are_neither_a_path_nor_shown(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"location .*not shown") as caught:
        SearchEngine.open(place, embedders=FAKE)
    assert "sec" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidArgumentError, match=r"records .*not shown") as caught:
        SearchEngine.open("album", embedders=FAKE, records=place)
    assert "sec" not in str(caught.value)


def test_a_path_may_hold_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("photos@home/album", "./12:30@home", str(tmp_path / "a:b@c")):
        SearchEngine.open(place, embedders=FAKE).close()
        assert Path(place).is_dir()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://root:hun/ter2@host:1/db", "http://***@host:1/db"),
        ("http://root:hun@ter2@host", "http://***@host"),
        ("http://root:hun?ter2@host", "http://***"),
        ("redis://host/0?password=hun@ter2", "redis://***"),
        ("redis://host/0?password=hunter2#x", "redis://host/0"),
        ("http://[::1", "http://[::1"),
        ("http:/root:hun/ter2@host", "***@host"),
        ("root:hunter2@host:1", "***@host:1"),
        ("photos@home/album.db", "photos@home/album.db"),
        ("/home/me/12:30@noon.db", "/home/me/12:30@noon.db"),
    ],
)
def test_addresses_are_told_without_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_a_folder_keeps_what_was_indexed(tmp_path: Path) -> None:
    from onnxsearch.testing import picture

    with SearchEngine.open(tmp_path / "new/album", embedders=FAKE) as engine:
        engine.add(picture("cat"), id="cat", metadata={"legs": 4})
    with SearchEngine.open(tmp_path / "new/album", embedders=FAKE) as engine:
        assert engine.search(picture("cat"))[0].metadata == {"legs": 4}
