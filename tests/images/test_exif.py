"""Fields from EXIF data: right where the data are, and fewer where they are damaged."""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from PIL import Image

from onnxsearch import (
    F,
    ImageNotFoundError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    LocalVectorStore,
    SearchEngine,
    UnsupportedImageError,
    exif,
    open_image,
)
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.images.conversion import AS_SEEN, to_rgb
from onnxsearch.testing import FakeEmbedder, write_pictures

IMAGE, PHOTO, GPS = 0, 0x8769, 0x8825

TAGS: dict[int, dict[int, Any]] = {
    IMAGE: {0x010F: "NIKON CORPORATION", 0x0110: "NIKON D90", 0x0112: 6},
    PHOTO: {
        0x9003: "2026:11:25 07:57:38",
        0x829A: (1, 125),
        0x829D: (28, 10),
        0x8827: 400,
        0x920A: (50, 1),
        0xA405: 75,
        0xA434: "AF-S 50mm f/1.4G",
    },
    GPS: {
        1: "S",
        2: ((33, 1), (51, 1), (2484, 100)),
        3: "E",
        4: ((151, 1), (12, 1), (36, 1)),
        5: b"\1",
        6: (25, 2),
    },
}
FIELDS = {
    "width": 20,
    "height": 30,
    "orientation": 6,
    "camera": "NIKON D90",
    "taken": "2026-11-25T07:57:38",
    "exposure_time": 0.008,
    "f_number": 2.8,
    "iso": 400,
    "focal_length": 50.0,
    "focal_length_35mm": 75,
    "lens": "AF-S 50mm f/1.4G",
    "latitude": -33.8569,
    "longitude": 151.21,
    "altitude": -12.5,
}


def written(tags: dict[int, dict[int, Any]] = TAGS, order: str = "<") -> bytes:
    """EXIF data with these tags, by directory, as a camera writes them."""
    directories = {place: dict(values) for place, values in tags.items()}
    sizes = {place: 6 + 12 * len(values) for place, values in directories.items()}
    for place in (PHOTO, GPS):
        if place in tags:
            sizes[IMAGE] += 12
    start, starts = 8, {}
    for place in directories:
        starts[place] = start
        start += sizes[place]
    directories[IMAGE] |= {place: starts[place] for place in (PHOTO, GPS) if place in tags}
    data = bytearray()
    entries = b""
    for values in directories.values():
        entries += struct.pack(f"{order}H", len(values))
        for tag, value in sorted(values.items()):
            kind, count, content = encoded(value, order)
            if len(content) > 4:
                content, offset = struct.pack(f"{order}I", start + len(data)), content
                data += offset
            entries += struct.pack(f"{order}HHI", tag, kind, count) + content.ljust(4, b"\0")
        entries += bytes(4)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}I", 8) + entries + bytes(data)


def encoded(value: Any, order: str) -> tuple[int, int, bytes]:
    """Type, number of values and bytes."""
    match value:
        case str():
            return 2, len(value) + 1, value.encode() + b"\0"
        case bytes():
            return 7, len(value), value
        case int():
            wide = value > 0xFFFF
            return (
                (4, 1, struct.pack(f"{order}I", value))
                if wide
                else (
                    3,
                    1,
                    struct.pack(f"{order}H", value),
                )
            )
        case float():
            return 12, 1, struct.pack(f"{order}d", value)
        case (int(), int()):
            return 5, 1, struct.pack(f"{order}II", *value)
        case _:
            return 5, len(value), b"".join(struct.pack(f"{order}II", *pair) for pair in value)


def image_with(data: bytes, format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), "navy").save(buffer, format, exif=b"Exif\0\0" + data)
    return buffer.getvalue()


def fields_of(data: bytes) -> dict[str, Any]:
    """The fields from EXIF data, without those of the file."""
    found = exif(image_with(data, "PNG"))
    return {name: value for name, value in found.items() if name != "file_size"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_fields_of_each_format(format: str, order: str, tmp_path: Path) -> None:
    data = image_with(written(order=order), format)
    expected = FIELDS | {"file_size": len(data)}
    if format == "AVIF":  # Pillow writes the orientation as a rotation, which decoders apply
        expected |= {"width": 30, "height": 20, "orientation": 1}
    path = tmp_path / "image"
    path.write_bytes(data)
    found = exif(path)
    if format == "AVIF":
        assert (found["width"], found["height"]) == open_image_size(path)
        found |= {"width": 30, "height": 20, "orientation": 1}
    assert found == expected
    assert exif(str(path)) == exif(data) == exif(bytearray(data)) == exif(io.BytesIO(data))
    assert exif(path) == exif(data)


def open_image_size(path: Path) -> tuple[int, int]:
    return to_rgb(open_image(path), AS_SEEN).size


def test_fields_of_a_tiff_and_of_pillow_images_and_arrays() -> None:
    tiff = image_with(written(), "TIFF")
    found = exif(tiff)
    assert (found["width"], found["height"]) == to_rgb(open_image(tiff), AS_SEEN).size
    assert found == FIELDS | {"file_size": len(tiff)}
    opened = Image.open(io.BytesIO(image_with(written())))
    assert exif(opened) == FIELDS
    assert exif(Image.new("RGB", (3, 2))) == {"width": 3, "height": 2, "orientation": 1}
    assert exif(np.zeros((2, 3, 3), np.uint8)) == {"width": 3, "height": 2}


def test_fields_of_a_heic_image() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    container = pillow_heif.from_pillow(Image.new("RGB", (64, 48)))
    container.save(buffer, exif=b"Exif\0\0" + written())
    found = exif(buffer.getvalue())
    upright = to_rgb(open_image(buffer.getvalue()), AS_SEEN).size
    assert (found["width"], found["height"]) == upright
    assert (found["camera"], found["taken"]) == (FIELDS["camera"], FIELDS["taken"])


@pytest.mark.parametrize("orientation", range(12))
@pytest.mark.parametrize("xmp", [False, True])
def test_width_and_height_are_those_of_the_upright_image(orientation: int, xmp: bool) -> None:
    buffer = io.BytesIO()
    packet = f'<x tiff:Orientation="{orientation % 10}"/>'.encode()
    extra: dict[str, Any] = {"exif": b"Exif\0\0" + written({IMAGE: {0x0112: orientation}})}
    Image.new("RGB", (30, 20)).save(buffer, "JPEG", **({"xmp": packet} if xmp else extra))
    found = exif(buffer.getvalue())
    upright = to_rgb(open_image(buffer.getvalue()), AS_SEEN).size
    assert (found["width"], found["height"]) == upright


@pytest.mark.parametrize(
    ("place", "tag", "value", "field"),
    [
        (PHOTO, 0x9003, "0000:00:00 00:00:00", "taken"),
        (PHOTO, 0x9003, "    :  :     :  :  ", "taken"),
        (PHOTO, 0x9003, "2026:13:45 07:57:38", "taken"),
        (PHOTO, 0x9003, 3, "taken"),
        (PHOTO, 0x829A, (1, 0), "exposure_time"),
        (PHOTO, 0x829A, (0, 0), "exposure_time"),
        (PHOTO, 0x829A, (0, 1), "exposure_time"),
        (PHOTO, 0x829D, "2.8", "f_number"),
        (PHOTO, 0x829D, math.nan, "f_number"),
        (PHOTO, 0x829D, math.inf, "f_number"),
        (PHOTO, 0x8827, 0, "iso"),
        (PHOTO, 0x8827, (400, 1), "iso"),
        (PHOTO, 0xA434, b"\xff\xfe\xfd", "lens"),
        (PHOTO, 0xA434, "a\tb", "lens"),
        (PHOTO, 0xA434, "x" * 300, "lens"),
        (PHOTO, 0xA434, "x" * 2000, "lens"),
        (PHOTO, 0xA434, "   ", "lens"),
        (GPS, 1, "X", "latitude"),
        (GPS, 1, "NS", "latitude"),
        (GPS, 1, "", "latitude"),
        (GPS, 2, ((91, 1), (0, 1), (0, 1)), "latitude"),
        (GPS, 2, ((33, 0), (0, 1), (0, 1)), "latitude"),
        (GPS, 2, "33", "latitude"),
        (GPS, 4, ((181, 1), (0, 1), (0, 1)), "longitude"),
        (GPS, 6, (1, 0), "altitude"),
        (IMAGE, 0x0110, b"\xc3(", "camera"),
    ],
)
def test_an_impossible_value_leaves_only_its_field_out(
    place: int, tag: int, value: Any, field: str
) -> None:
    tags = {name: dict(values) for name, values in TAGS.items()}
    tags[place][tag] = value
    found = fields_of(written(tags))
    expected = {name: value for name, value in FIELDS.items() if name != field}
    if field == "camera":
        expected["camera"] = "NIKON CORPORATION"
    assert found == expected


def test_a_hostile_header_costs_nothing() -> None:
    """Directories that refer to themselves, of 65,535 entries that claim 4 GB each."""
    loop = b"II*\0" + struct.pack("<IHHHIIHHIII", 8, 2, PHOTO, 4, 1, 8, GPS, 4, 1, 8, 8)
    assert fields_of(loop) == {"width": 30, "height": 20, "orientation": 1}
    many = struct.pack("<HHII", 0x010F, 2, 2**32 - 1, 8) * 65_535
    data = b"II*\0" + struct.pack("<IH", 8, 65_535) + many
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "camera" not in fields_of(data)
    for beyond in (9, 2**32 - 1):
        data = b"MM\0*" + struct.pack(">I", beyond)
        assert fields_of(data) == {"width": 30, "height": 20, "orientation": 1}


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"II*\0"])
def test_a_file_that_is_no_image_has_only_a_size(data: bytes) -> None:
    assert exif(data) == {"file_size": len(data)}


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        exif(tmp_path / "nothing.jpg")
    with pytest.raises(UnsupportedImageError):
        exif(tmp_path)
    with pytest.raises(UnsupportedImageError):
        exif(None)  # type: ignore[arg-type]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedImageError):
        exif(tmp_path / "pipe")
    with (
        LocalVectorStore(tmp_path / "vectors.sqlite"),
        pytest.raises(UnsupportedImageError, match="open in this process"),
    ):
        exif(tmp_path / "vectors.sqlite")


GOOD = written()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """EXIF data with a few bytes changed, or cut short, or made of anything."""
    data = bytearray(draw(st.sampled_from([GOOD, written(order=">")])))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)))):
        data[at] = byte
    cut = draw(st.integers(0, len(data)))
    return bytes(data[:cut] if draw(st.booleans()) else data)


@given(st.one_of(damaged(), st.binary(max_size=300)))
@example(b"II*\0\x08\0\0\0\xff\xff")
def test_damaged_data_give_fewer_fields_and_no_error(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, while it opens the file
        found = fields_of(data)
    assert check_metadata(found) == found
    assert {"width", "height", "orientation"} <= found.keys() <= FIELDS.keys()
    for name, value in found.items():
        assert type(value) is type(FIELDS[name])
    assert -90 <= found.get("latitude", 0) <= 90
    assert -180 <= found.get("longitude", 0) <= 180


@given(st.binary(max_size=64), st.integers(0, 2**32), st.booleans())
def test_damaged_files_are_no_error(noise: bytes, at: int, cut: bool) -> None:
    for data in (image_with(GOOD), image_with(GOOD, "PNG"), image_with(GOOD, "WEBP")):
        start = at % len(data)
        broken = data[:start] + noise + (b"" if cut else data[start + len(noise) :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert exif(broken)["file_size"] == len(broken)


class Reads:
    """An engine whose reads of headers are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
        self.number = 0
        read: Callable[..., Any] = exif.__globals__["open_image_file"]

        def counted(path: str) -> Any:
            self.number += 1
            return read(path)

        monkeypatch.setitem(exif.__globals__, "open_image_file", counted)


def test_files_are_described_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, folder = Reads(monkeypatch), tmp_path / "pictures"
    write_pictures(folder, ["ant", "bee"])
    (folder / "cat.jpg").write_bytes(image_with(written()))
    (folder / "notes.txt").write_text("no image")
    engine = reads.engine
    engine.index(folder)
    assert engine.index(folder, metadata=exif).counts["indexed"] == 3
    assert engine.index(folder, metadata=exif).counts["unchanged"] == 3
    assert reads.number == 3
    record = engine.get(str(folder / "cat.jpg"))
    assert record is not None
    assert record.metadata == FIELDS | {"file_size": record.size}
    november = (F("taken") >= date(2026, 11, 1)) & (F("taken") < date(2026, 12, 1))
    assert engine.search(folder / "ant.png", filter=november).ids == [record.id]
    (folder / "cat.jpg").write_bytes(image_with(written({IMAGE: {0x0110: "EOS R5"}})))
    assert engine.index(folder, metadata=exif).counts["indexed"] == 1
    record = engine.get(record.id)
    assert record is not None
    assert record.metadata["camera"] == "EOS R5"


def test_items_are_described_from_their_bytes() -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    data = image_with(written())
    items = [Item(lambda: data, uri="https://host/a.jpg", metadata={"camera": "mine", "by": "me"})]
    for status in ("indexed", "unchanged"):
        assert engine.add_many(items, metadata=exif).counts[status] == 1
    record = engine.get("https://host/a.jpg")
    assert record is not None
    assert record.metadata == FIELDS | {"file_size": len(data), "camera": "mine", "by": "me"}
