"""Hostile archives: each gives outcomes, in little memory, and nothing is written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from onnxsearch import Archive, OnnxSearchError
from onnxsearch.indexing.sources import members
from tests.indexing.reading import MEMORY, cost, errors, jpeg, results, tree

IMAGE = jpeg()
MIB = 2**20


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def linked(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def patched(data: bytes, offset: int, form: str, value: int, *, entry: int = 0) -> bytes:
    """Change a field in an entry of the central directory of a zip archive."""
    start = -1
    for _ in range(entry + 1):
        start = data.index(b"PK\x01\x02", start + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, start + offset, value)
    return bytes(changed)


def compressed_by(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.jpg", IMAGE + bytes(10 * MIB))
    return file.getvalue()


def header(
    name: str = "a.jpg", size: int = 0, kind: bytes = b"0", *, octal: bytes | None = None
) -> bytes:
    """Return a tar header with a right checksum, whatever else it says."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT)[:512])
    block[156:157] = kind
    block[124:136] = octal if octal is not None else b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: bytes, *, size: int | None = None) -> bytes:
    return header("x", len(records) if size is None else size, b"x") + padded(records)


def record(text: bytes) -> bytes:
    length = len(text) + 3
    while len(b"%d %s\n" % (length, text)) != length:
        length += 1
    return b"%d %s\n" % (length, text)


GOOD = header("good.jpg", len(IMAGE)) + padded(IMAGE)
END = bytes(1024)


def tarred(*entries: tuple[str, bytes, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return file.getvalue()


def bomb(size: int) -> Iterator[bytes]:
    """Yield a tar archive with one image of `size` bytes."""
    yield header("bomb.jpg", size) + IMAGE
    left = size - len(IMAGE)
    while left > 0:
        yield bytes(min(left, MIB))
        left -= MIB


def gzip_bomb(size: int) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(map(coder.compress, bomb(size))) + coder.flush()


def xz_of_gigabytes() -> bytes:
    """Return an xz stream whose header declares a dictionary of 2 GiB."""
    data = bytearray(lzma.compress(GOOD))
    end = 12 + 4 * data[12]
    data[16] = 38
    data[end : end + 4] = zlib.crc32(data[12:end]).to_bytes(4, "little")
    return bytes(data)


def overlapping() -> bytes:
    """Return an archive whose second and third entries have the bytes of the first."""
    data = zipped(("a.jpg", IMAGE), ("b.jpg", IMAGE), ("c.jpg", IMAGE))
    for entry in (1, 2):
        data = patched(data, 42, "<I", 0, entry=entry)
    return data


ZIPS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "name that climbs": (lambda: zipped(("../../etc/a.jpg", IMAGE)), "leads out"),
    "name that climbs inside": (lambda: zipped(("x/../../a.jpg", IMAGE)), "leads out"),
    "absolute name": (lambda: zipped(("/etc/a.jpg", IMAGE)), "leads out"),
    "name with a drive": (lambda: zipped(("C:/a.jpg", IMAGE)), "leads out"),
    "name of another host": (lambda: zipped(("\\\\host\\a.jpg", IMAGE)), "leads out"),
    "name that climbs by backslashes": (lambda: zipped(("..\\..\\a.jpg", IMAGE)), "leads out"),
    "blank name": (lambda: zipped((" ", IMAGE)), "no usable name"),
    "endless name": (lambda: zipped(("a" * 60_000 + ".jpg", IMAGE)), "60,004 characters"),
    "folders in folders": (lambda: zipped(("x/" * 2000 + "a.jpg", IMAGE)), "is in 2,001 folders"),
    "two members of one name": (
        lambda: zipped(("a.jpg", IMAGE), ("b.jpg", IMAGE)).replace(b"b.jpg", b"a.jpg"),
        "name of an earlier member",
    ),
    "symbolic link": (lambda: zipped((linked("a.jpg", 0o120777), b"/etc/passwd")), "symbolic"),
    "device": (lambda: zipped((linked("a.jpg", 0o020666), b"")), "a device"),
    "pipe": (lambda: zipped((linked("a.jpg", 0o010666), b"")), "a device, pipe"),
    "encrypted": (lambda: patched(zipped(("a.jpg", IMAGE)), 8, "<H", 1), "encrypted"),
    "archive in an archive": (lambda: zipped(("a.zip", zipped(("a.jpg", IMAGE)))), "in an archive"),
    "image that is an archive": (lambda: zipped(("a.jpg", zipped(("b", b"b")))), "not an image"),
    "bomb": (lambda: zipped(("a.jpg", IMAGE + bytes(65 * MIB))), "as a bomb does"),
    "bomb that hides its size": (
        lambda: patched(zipped(("a.jpg", IMAGE + bytes(30 * MIB))), 24, "<I", 1000),
        "size or checksum",
    ),
    "size that promises more": (
        lambda: patched(zipped(("a.jpg", IMAGE)), 24, "<I", 2000),
        "size or checksum",
    ),
    "size of gigabytes": (
        lambda: patched(zipped(("a.jpg", IMAGE)), 24, "<I", 2**32 - 2),
        "4,294,967,294 bytes",
    ),
    "bomb by bzip2": (lambda: compressed_by(zipfile.ZIP_BZIP2), "compressed by bzip2"),
    "bomb by LZMA": (lambda: compressed_by(zipfile.ZIP_LZMA), "compressed by LZMA"),
    "unknown method": (
        lambda: patched(zipped(("a.jpg", IMAGE)), 10, "<H", 9),
        "compressed by Deflate64",
    ),
    "method of no name": (lambda: patched(zipped(("a.jpg", IMAGE)), 10, "<H", 77), "method 77"),
    "members that share their bytes": (overlapping, "shares its bytes"),
    "offset beyond the file": (
        lambda: patched(zipped(("a.jpg", IMAGE)), 42, "<I", 2**31),
        "no header",
    ),
    "offset to something else": (lambda: patched(zipped(("a.jpg", IMAGE)), 42, "<I", 4), "header"),
    "wrong checksum": (lambda: patched(zipped(("a.jpg", IMAGE)), 16, "<I", 7), "checksum"),
    "damaged data": (lambda: zipped(("a.jpg", IMAGE)).replace(IMAGE[:1], b"\0"), "damaged"),
    "cut short": (lambda: zipped(("a.jpg", IMAGE))[:-30], "damaged"),
    "directory of another length": (
        lambda: zipped(("a.jpg", IMAGE))[:-22] + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1,
        2**31, 0, 0),
        "directory",
    ),
    "directory of noise": (
        lambda: b"PK\3\4" + b"\7" * 100 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 60, 44, 0),
        "directory",
    ),
    "no member": (zipped, "holds no file"),
    "directories only": (lambda: zipped(("a/", b"")), "holds no file"),
    "version to come": (lambda: patched(zipped(("a.jpg", IMAGE)), 6, "<H", 200), "version"),
}  # fmt: skip

TARS: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "name that climbs": (lambda: header("../a.jpg", 3) + padded(b"abc") + GOOD, "leads out"),
    "absolute name": (lambda: header("/etc/a.jpg", 3) + padded(b"abc") + GOOD, "leads out"),
    "absolute name in pax": (
        lambda: pax(record(b"path=/etc/a.jpg")) + GOOD, "leads out"),
    "name with a NUL in pax": (
        lambda: pax(record(b"path=a\0.jpg")) + GOOD, "no usable name"),
    "names in the current folder": (
        lambda: GOOD + pax(record(b"path=" + b"./" * 500_000 + b"../a.jpg")) + GOOD, "characters"),
    "symbolic link": (lambda: tarred(("a.jpg", b"2", "/etc/passwd")), "symbolic link"),
    "hard link": (lambda: tarred(("a.jpg", b"1", "/etc/passwd")), "hard link"),
    "character device": (lambda: tarred(("a.jpg", b"3", "")), "a device"),
    "block device": (lambda: tarred(("a.jpg", b"4", "")), "a device"),
    "pipe": (lambda: tarred(("a.jpg", b"6", "")), "a pipe"),
    "sparse file": (lambda: header("a.jpg", 0, b"S") + GOOD, "sparse"),
    "sparse file in pax": (
        lambda: pax(record(b"GNU.sparse.major=1")) + GOOD, "sparse"),
    "two members of one name": (lambda: GOOD + GOOD, "earlier member"),
    "archive in an archive": (lambda: header("a.tar.gz") + GOOD, "in an archive"),
    "size of exabytes": (
        lambda: GOOD + header(octal=b"\x80" + (2**62).to_bytes(11, "big")), "cut short"),
    "negative size": (lambda: GOOD + header(octal=b"\xff" * 12), "a number of"),
    "size of letters": (lambda: GOOD + header(octal=b"sixty-six\0\0\0"), "a number of"),
    "size of letters in pax": (lambda: pax(record(b"size=1e9")) + GOOD, "a size of"),
    "size of thousands of digits in pax": (
        lambda: pax(record(b"size=" + b"9" * 5000)) + GOOD, "a size of"),
    "header of gigabytes": (lambda: GOOD + header("x", 2**33 - 1, b"x"), "expected at most"),
    "name of gigabytes": (lambda: GOOD + header("x", 2**33 - 1, b"L"), "expected at most"),
    "header of digits": (lambda: GOOD + pax(b"1" * MIB), "cannot be read"),
    "header of wrong lengths": (lambda: GOOD + pax(b"99 path=a\n"), "cannot be read"),
    "header of zero lengths": (lambda: GOOD + pax(b"0 path=a\n"), "cannot be read"),
    "header without an end": (lambda: GOOD + header("x", 512, b"x"), "cut short"),
    "thousands of headers": (
        lambda: GOOD + pax(record(b"comment=x")) * 3000 + b"\1" * 512, "checksum"),
    "noise after a member": (lambda: GOOD + os.urandom(2048), "checksum"),
    "cut in a member": (lambda: GOOD[:-600], "cut short"),
    "cut in a header": (lambda: GOOD + GOOD[:100], "cut short"),
    "no member": (lambda: header("d/", 0, b"5") + END, "holds no file"),
    "no archive by gzip": (lambda: gzip.compress(b"text" * 500), "checksum"),
    "gzip that is cut": (lambda: gzip.compress(GOOD + END)[:-200], "damaged"),
    "gzip of noise": (lambda: b"\x1f\x8b" + os.urandom(600), "damaged"),
    "bzip2 of noise": (lambda: b"BZh9" + os.urandom(600), "damaged"),
    "xz of noise": (lambda: b"\xfd7zXZ\0" + os.urandom(600), "damaged"),
    "xz that is cut": (lambda: lzma.compress(GOOD + END)[:-100], "damaged"),
    "xz that wants gigabytes": (xz_of_gigabytes, "emory"),
    "Zstandard": (lambda: b"\x28\xb5\x2f\xfd" + bytes(600), "Zstandard"),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(GOOD)), "checksum"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ZIPS)
def test_a_hostile_zip_archive_gives_an_outcome(tmp_path: Path, kind: str) -> None:
    make, reason = ZIPS[kind]
    check(tmp_path, "a.zip", make(), reason)


@pytest.mark.parametrize("kind", TARS)
def test_a_hostile_tar_archive_gives_an_outcome(tmp_path: Path, kind: str) -> None:
    make, reason = TARS[kind]
    found = check(tmp_path, "a.tar", make(), reason)
    # What stands before the damage is read.
    if make().startswith(GOOD) and kind != "cut in a member":
        assert found[f"{tmp_path / 'a.tar'}!/good.jpg"] == "image"


def check(folder: Path, name: str, data: bytes, reason: str) -> dict[str, str]:
    path = folder / name
    path.write_bytes(data)
    before = tree(folder)
    found: dict[str, str] = {}
    try:
        messages = errors(Archive(path))
    except OnnxSearchError as error:
        messages = str(error)
    else:
        assert cost(lambda: found.update(results(Archive(path)))) < MEMORY + len(data)
        assert set(found.values()) - {"image"}
    assert any(part in messages for part in reason.split("|")), messages
    assert tree(folder) == before
    return found


@pytest.mark.parametrize("compress", [gzip_bomb, lambda n: bz2.compress(b"".join(bomb(n)))])
def test_a_compressed_bomb_ends_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Callable[[int], bytes]
) -> None:
    monkeypatch.setattr(members, "FREE_EXPANSION", 4 * MIB)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(compress(10 * MIB))
    archive = Archive(path, max_bytes=MIB)
    assert cost(lambda: results(archive)) < MEMORY
    assert results(archive)[f"{path}!/bomb.jpg"] == "too_large"
    assert results(archive)[str(path)] == "too_large"
    assert "as a bomb does: the rest of it is not read" in errors(archive)


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 3)
    path = tmp_path / f"a.{suffix}"
    images = [(f"{n}.jpg", IMAGE) for n in range(5)]
    blocks = (header(name, len(data)) + padded(data) for name, data in images)
    path.write_bytes(zipped(*images) if suffix == "zip" else b"".join(blocks) + END)
    found = results(Archive(path))
    assert list(found.values()) == ["image"] * 3 + ["too_large"]
    assert "more than 3 members" in errors(Archive(path))


def test_a_zip_archive_expands_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "FREE_EXPANSION", 2 * MIB)
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(*((f"{n}.jpg", IMAGE + bytes(MIB)) for n in range(8))))
    assert list(results(Archive(path)).values())[-1] == "too_large"
    assert len(results(Archive(path))) < 8
