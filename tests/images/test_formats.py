"""Files are told apart by their first bytes: damaged image, other format, no image at all."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch.errors import BrokenImageError, ImageTooLargeError, UnsupportedImageError
from onnxsearch.images.formats import (
    HEAD,
    can_decode,
    has_image_name,
    image_format,
    looks_like_image,
)
from onnxsearch.images.reading import ReadPolicy, open_image

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (40, 30, 3), dtype=np.uint8)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, **options)
    return buffer.getvalue()


Image.init()
FORMATS = [
    kind
    for kind in (
        *("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "ICO", "ICNS", "PPM"),
        *("DDS", "QOI"),
    )
    if can_decode(kind) and kind in Image.SAVE
]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_known_by_its_first_bytes(kind: str) -> None:
    data = encoded(kind)
    assert image_format(data[:HEAD]) == kind
    assert looks_like_image(data)
    open_image(data)


@pytest.mark.parametrize("kind", sorted(set(FORMATS) - {"PPM"}))
def test_a_damaged_image_is_broken_and_not_unsupported(kind: str) -> None:
    # Most are cut within the header, where Pillow cannot even identify them.
    for length in (20, 40):
        with pytest.raises(BrokenImageError):
            open_image(encoded(kind)[:length])


OTHERS = {
    "text": b"Dear Sir or Madam,\n" * 20,
    "text that begins like a portable bitmap": b"P2 is the second person in this interview.",
    "text that begins like a bitmap": b"BMW sold more cars than ever before in this year\n",
    "film": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "film of QuickTime": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "sound": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "video in RIFF": b"RIFF\x24\0\0\0AVI LIST",
    "database": b"SQLite format 3\0" + bytes(84),
    "archive": b"PK\3\4" + bytes(30),
    "document": b"%PDF-1.7\n",
    "page": b"<!DOCTYPE html><html></html>",
    "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60),
    "zeros": bytes(600),
    "nothing": b"",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_do_not_look_like_images(name: str) -> None:
    assert not looks_like_image(OTHERS[name])
    if name != "nothing":
        with pytest.raises(UnsupportedImageError):
            open_image(OTHERS[name])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"image.{suffix}", True) for suffix in ("jpg", "JPEG", "png", "tga", "heic", "nef")),
        *((f"folder.jpg/file.{suffix}", False) for suffix in ("txt", "mp4", "xmp", "pdf", "db")),
        *(("Thumbs", False), (".jpg", False), ("a.mpg", False), ("a.jxl", True)),
    ],
)
def test_names_of_images(name: str, expected: bool) -> None:
    assert has_image_name(name) is has_image_name(Path(name)) is expected


@pytest.mark.skipif(not can_decode("AVIF"), reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"msf1"])
def test_avif_of_every_brand_is_read_by_pillow(brand: bytes) -> None:
    data = bytearray(encoded("AVIF"))
    data[8:12] = brand
    assert open_image(bytes(data)).size == (30, 40)


def test_the_brands_of_heic() -> None:
    def head(major: bytes, *others: bytes) -> bytes:
        brands = b"".join(others)
        return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands + b"free"

    assert image_format(head(b"heic", b"mif1")) == "HEIC"
    assert image_format(head(b"mif1", b"heic", b"miaf")) == "HEIC"
    assert image_format(head(b"mif1", b"miaf")) == "HEIC"
    assert image_format(head(b"mif1", b"miaf", b"avif")) == "AVIF"
    assert image_format(head(b"crx ", b"isom")) == "camera raw"


# --- camera raw files


def thumbnail_then_sensor(subfile_type: int) -> bytes:
    """Return a file as cameras write it: a TIFF of a preview, then data of its own kind."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "TIFF", tiffinfo={254: subfile_type})
    return buffer.getvalue() + RANDOM.bytes(5_000)


def directory(*tags: tuple[int, int, int, int]) -> bytes:
    """Return a TIFF of one directory and no pixels. Tags: number, type, count, value."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


RAW = {
    "preview first": thumbnail_then_sensor(1),
    "DNG": directory((256, 3, 1, 9), (257, 3, 1, 9), (50706, 1, 4, 0x0401)),
    "colour filter array": directory((256, 3, 1, 9), (257, 3, 1, 9), (262, 3, 1, 32803)),
    "linear": directory((262, 3, 1, 34892)),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(100),
    "ORF": b"IIRO\x08\0\0\0" + bytes(100),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(100),
}


@pytest.mark.parametrize("name", RAW)
def test_camera_raw_files_are_refused_and_not_opened_as_their_preview(name: str) -> None:
    assert looks_like_image(RAW[name])
    with pytest.raises(UnsupportedImageError, match=r"raw file.*JPEG or TIFF"):
        open_image(RAW[name])


@pytest.mark.parametrize("suffix", ["NEF", "arw", "dng", "cr2"])
def test_a_tiff_with_the_name_of_a_raw_file_is_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"DSC_0001.{suffix}"
    path.write_bytes(encoded("TIFF"))
    with pytest.raises(UnsupportedImageError, match="raw file"):
        open_image(path)


def test_a_tiff_and_its_smaller_versions_are_an_image(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    image = Image.fromarray(PIXELS)
    image.save(path, save_all=True, append_images=[image.resize((15, 20))])
    assert open_image(path).size == (30, 40)
    assert open_image(thumbnail_then_sensor(0)).size == (30, 40)


# --- images in images


def png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def icon(*images: bytes) -> bytes:
    """Return a Windows icon that says of each image that it has 16 x 16 pixels."""
    offset = 6 + 16 * len(images)
    entries = []
    for image in images:
        entries.append(struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(image), offset))
        offset += len(image)
    return struct.pack("<HHH", 0, 1, len(images)) + b"".join(entries) + b"".join(images)


def apple_icon(*images: bytes) -> bytes:
    blocks = b"".join(
        kind + struct.pack(">I", 8 + len(image)) + image
        for kind, image in zip((b"ic07", b"ic08"), images, strict=False)
    )
    return b"icns" + struct.pack(">I", 8 + len(blocks)) + blocks


def bitmap(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (side, side)).save(buffer, "DIB")
    data = bytearray(buffer.getvalue())
    data[8:12] = (2 * side).to_bytes(4, "little")
    return bytes(data)


def texture(image: bytes) -> bytes:
    """Return a Blizzard texture of 16 x 16 pixels with this JPEG in it."""
    header = b"BLP1" + struct.pack("<iIIIii", 0, 0, 16, 16, 5, 1)
    offsets = struct.pack("<16I", 160, *[0] * 15) + struct.pack("<16I", len(image), *[0] * 15)
    return header + offsets + struct.pack("<I", 0) + image


def jpeg(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


def tiled(*tiles: tuple[int, int, int, int]) -> bytes:
    """Return a TIFF of 16 x 16 pixels whose tiles these tags describe."""
    return directory(
        *((256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 2), (262, 3, 1, 1)),
        *((277, 3, 1, 1), *tiles, (324, 4, 1, 200), (325, 4, 1, 256)),
    ) + bytes(300)


HIDDEN = {
    "PNG in an icon": icon(png(16), png(300)),
    "bitmap in an icon": icon(bitmap(300)),
    "PNG in an Apple icon": apple_icon(png(16), png(300)),
    "JPEG in a texture": texture(jpeg(300)),
    "tile of a TIFF": tiled((322, 4, 1, 300), (323, 4, 1, 300)),
    "tile of a TIFF that gives one side": tiled((322, 4, 1, 300)),
}


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
@pytest.mark.parametrize("name", HIDDEN)
def test_the_limit_counts_for_images_in_images(name: str) -> None:
    with pytest.raises(ImageTooLargeError, match=r"300 x 300.*not decoded"):
        open_image(HIDDEN[name], ReadPolicy(max_pixels=299 * 300))


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_icons_within_the_limit_open() -> None:
    for data in (icon(png(40), bitmap(30)), apple_icon(png(128), png(256)), texture(jpeg(16))):
        assert open_image(data).size in {(40, 40), (30, 30), (256, 256), (16, 16)}


@pytest.mark.parametrize(("images", "is_read"), [(1024, True), (1025, False)])
def test_an_icon_holds_1024_images_at_most(images: int, is_read: bool) -> None:
    small = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png(16)), 6 + 16 * images)
    windows = struct.pack("<HHH", 0, 1, images) + small * images + png(16)
    block = struct.pack(">I", 8 + len(png(128))) + png(128)
    others = (b"name" + struct.pack(">I", 8)) * (images - 1)
    apple = others + b"ic07" + block
    apple = b"icns" + struct.pack(">I", 8 + len(apple)) + apple
    for data in (windows, apple):
        if is_read:
            open_image(data)
        else:
            with pytest.raises(BrokenImageError):
                open_image(data)


def test_an_icon_without_end_is_broken() -> None:
    many = struct.pack("<HHH", 0, 1, 65_535) + bytes(16 * 65_535)
    endless = b"icns" + struct.pack(">I", 1 << 31) + (b"ic07" + struct.pack(">I", 8)) * 5_000
    for data in (many, endless):
        with pytest.raises(BrokenImageError):
            open_image(data)
