"""Archives as sources: what they hold, by which names, and what is left out."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from onnxsearch import (
    Archive,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    LocalVectorStore,
    SearchEngine,
    UnsupportedImageError,
)
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.indexing.reading import errors, jpeg, results

IMAGE = jpeg()
TARS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "tgz", "cbt")
MODES = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}


def packed(path: Path, members: Mapping[str, bytes], *, form: int = tarfile.PAX_FORMAT) -> Path:
    """Write an archive of the kind that the name of `path` says."""
    if path.suffix in (".zip", ".cbz"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    mode = MODES.get(path.suffix[1:], "w")
    with tarfile.open(path, mode, format=form) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("suffix", ["zip", "cbz", *TARS])
def test_members_are_images_by_their_names(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"trip.{suffix}", {"a.jpg": IMAGE, "day 1/é.jpg": IMAGE})
    assert results(Archive(path)) == {f"{path}!/a.jpg": "image", f"{path}!/day 1/é.jpg": "image"}
    items = [entry for entry in Archive(path) if isinstance(entry, Item)]
    assert [item.id for item in items] == [None, None]
    assert [item.metadata for item in items] == [None, None]


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_the_content_decides_what_an_archive_is(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"photos.{suffix}", {"a.jpg": IMAGE}).rename(tmp_path / "backup")
    assert results(Archive(path)) == {f"{path}!/a.jpg": "image"}


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_what_a_folder_would_skip_is_skipped(tmp_path: Path, suffix: str) -> None:
    names = [".hidden.jpg", ".git/a.jpg", ".git/b.jpg", "__MACOSX/._a.jpg", "x/Thumbs.db", "a.gif"]
    path = packed(tmp_path / f"a.{suffix}", dict.fromkeys(names, IMAGE) | {"read.me": b"text"})
    skipped = [".hidden.jpg", ".git", "__MACOSX", "x/Thumbs.db", "a.gif", "read.me"]
    expected = {f"{path}!/{name}": "skipped" for name in skipped}
    assert results(Archive(path, exclude=["*.gif"])) == expected
    assert "a hidden folder; include_hidden=True" in errors(Archive(path))
    kept = results(Archive(path, include_hidden=True))
    assert kept[f"{path}!/.git/a.jpg"] == kept[f"{path}!/.hidden.jpg"] == "image"


def test_several_threads_read_one_zip_archive(tmp_path: Path) -> None:
    images = {f"{n}.jpg": jpeg(size=(n + 1, 3)) for n in range(40)}
    path = packed(tmp_path / "a.zip", images)
    items = [entry for entry in Archive(path) if isinstance(entry, Item) and callable(entry.image)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda item: item.image(), items))  # type: ignore[operator]
    assert read == list(images.values())


def test_images_of_an_archive_stay_while_the_folder_around_it_is_pruned(tmp_path: Path) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    (image,) = write_pictures(tmp_path, ["other"])
    path = packed(tmp_path / "a.zip", {"a.png": picture_bytes("a"), "b.png": b"broken"})
    report = engine.add_many(Archive(path))
    assert [o.status.value for o in report.outcomes] == ["indexed", "unsupported"]
    report = engine.index(tmp_path, prune=True)
    assert (report.counts["indexed"], report.counts["removed"]) == (1, 0)
    assert engine.search(picture("a"), limit=1).ids == [f"{path}!/a.png"]
    assert engine.add_many(Archive(path)).counts["unchanged"] == 1
    # A copy of a stored image is a duplicate, as in a folder.
    copy = packed(tmp_path / "b.zip", {"c.png": picture_bytes("a"), "d.png": image.read_bytes()})
    assert engine.add_many(Archive(copy)).counts["duplicate"] == 2


def test_zip_archives_that_were_streamed_or_are_large_are_read(tmp_path: Path) -> None:
    """Their sizes stand behind the data, or in fields of 64 bits."""

    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            written.extend(data)
            return len(data)

    written = bytearray()
    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", IMAGE)
        with archive.open("b.jpg", "w", force_zip64=True) as member:
            member.write(IMAGE)
    path = tmp_path / "a.zip"
    path.write_bytes(written)
    assert results(Archive(path)) == {f"{path}!/a.jpg": "image", f"{path}!/b.jpg": "image"}


def test_a_zip_archive_may_follow_a_program(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a.jpg": IMAGE})
    path.write_bytes(b"#!/bin/sh\nexit\n" + path.read_bytes())
    assert results(Archive(path)) == {f"{path}!/a.jpg": "image"}


def test_an_archive_that_changes_is_not_misread(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a.jpg": IMAGE})
    (item,) = Archive(path)
    packed(path, {"another.jpg": jpeg("navy"), "a.jpg": IMAGE})
    assert isinstance(item, Item)
    assert "changed while it was read" in errors([item])


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_members_have_a_limit(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"a.{suffix}", {"a.jpg": IMAGE, "b.jpg": IMAGE + bytes(1000)})
    found = results(Archive(path, max_bytes=len(IMAGE)))
    assert found == {f"{path}!/a.jpg": "image", f"{path}!/b.jpg": "too_large"}


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(IMAGE)
    with pytest.raises(InvalidArgumentError, match=r"a\.zip' is not an archive: expected a zip"):
        Archive(tmp_path / "a.zip")
    with pytest.raises(ImageNotFoundError, match=r"no file .*b\.zip"):
        Archive(tmp_path / "b.zip")
    with pytest.raises(UnsupportedImageError, match="is a folder"):
        Archive(tmp_path)
    store = LocalVectorStore(tmp_path / "vectors.sqlite")
    with store, pytest.raises(UnsupportedImageError, match="index that is open"):
        Archive(tmp_path / "vectors.sqlite")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1).filter(
    lambda name: name.strip() == name and not name.startswith(".") and name[1:2] != ":"
)


@settings(max_examples=30)
@given(
    st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=5),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.sampled_from(["tar", "tar.gz", "tar.bz2", "tar.xz"]),
)
def test_reads_the_tar_archives_that_python_writes(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], form: int, suffix: str
) -> None:
    members = {f"{name}.jpg": IMAGE + data for name, data in files.items()}
    path = tmp_path_factory.mktemp("tar") / f"a.{suffix}"
    try:
        packed(path, members, form=form)
    except ValueError:  # a name that is too long for this form
        return
    items = [entry for entry in Archive(path) if isinstance(entry, Item)]
    assert {str(item.uri).partition("!/")[2]: item.image for item in items} == members
