"""PNG files with much text and large ICC profiles are images like any other."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from onnxsearch.errors import BrokenImageError
from onnxsearch.images.conversion import AS_SEEN, DecodePolicy, to_rgb
from onnxsearch.images.reading import open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
MIB = 1 << 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*before: bytes, after: bytes = b"") -> bytes:
    """Return a PNG with chunks before and after its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    data = buffer.getvalue()
    pixels, end = data.index(b"IDAT") - 4, len(data) - 12
    return data[:33] + b"".join(before) + data[pixels:end] + after + data[end:]


def compressed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


LARGE = {
    "ICC profile": chunk(b"iCCP", b"wide\0\0" + compressed(3 * MIB)),
    "compressed text": chunk(b"zTXt", b"note\0\0" + compressed(2 * MIB)),
    "international text": chunk(b"iTXt", b"note\0\1\0\0\0" + compressed(2 * MIB)),
    "plain text": chunk(b"tEXt", b"note\0" + b"x" * (65 * MIB)),
    "many texts": chunk(b"zTXt", b"one\0\0" + compressed(MIB - 100)) * 70,
    "bomb": chunk(b"zTXt", b"bomb\0\0" + compressed(100 * MIB)),
}


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("where", ["before", "after", "on both sides of"])
def test_a_png_opens_however_much_it_carries_beside_its_pixels(
    tmp_path: Path, kind: str, where: str
) -> None:
    extra = LARGE[kind]
    data = png(
        extra if where != "after" else b"",
        after=extra if where != "before" and kind != "ICC profile" else b"",
    )
    path = tmp_path / "image.png"
    path.write_bytes(data)
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    for source in (path, data):
        assert np.array_equal(np.asarray(open_image(source)), PIXELS)
    assert limits == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_memory_does_not_follow_the_size_of_text(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(LARGE["bomb"], LARGE["plain text"], LARGE["many texts"]))
    tracemalloc.start()
    try:
        open_image(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_large_icc_profile_is_still_applied() -> None:
    # A profile in which red and blue have changed places, then padded beyond the limit.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    padded = profile + bytes(2 * MIB)
    padded = len(padded).to_bytes(4, "big") + padded[4:]
    image = open_image(png(chunk(b"iCCP", b"swapped\0\0" + zlib.compress(padded))))
    assert image.info["icc_profile"] == padded
    shown = np.asarray(to_rgb(image, DecodePolicy(colour_profile="srgb")), int)
    assert np.abs(shown - PIXELS[..., ::-1]).max() <= 3
    assert np.array_equal(np.asarray(to_rgb(image, AS_SEEN)), PIXELS)


@pytest.mark.parametrize("packed", [True, False], ids=["compressed", "plain"])
def test_the_orientation_in_a_large_xmp_packet_counts(packed: bool) -> None:
    packet = b'<x:xmpmeta tiff:Orientation="6">' + b"history " * (MIB // 4) + b"</x:xmpmeta>"
    text = zlib.compress(packet) if packed else packet
    header = b"XML:com.adobe.xmp\0" + bytes([packed]) + b"\0\0\0"
    noise = chunk(b"tEXt", b"note\0" + b"x" * (2 * MIB))
    image = open_image(png(noise, chunk(b"iTXt", header + text)))
    assert np.array_equal(np.asarray(to_rgb(image, AS_SEEN)), np.rot90(PIXELS, -1))


def test_small_texts_stay_where_pillow_finds_them() -> None:
    data = png(chunk(b"tEXt", b"Author\0somebody"), LARGE["bomb"], chunk(b"tEXt", b"Title\0it"))
    assert {"Author": "somebody", "Title": "it"}.items() <= open_image(data).info.items()


def test_what_is_damaged_beside_large_text_stays_broken() -> None:
    data = png(LARGE["compressed text"])
    for broken in (data[:-40], data.replace(b"IDAT", b"IDAT\0", 1)):
        with pytest.raises(BrokenImageError):
            open_image(broken)


def test_texts_without_end_are_refused() -> None:
    # Each would have to be remembered: a file made to fill memory.
    first, text = chunk(b"tEXt", b"note\0" + b"x" * MIB), chunk(b"tEXt", b"note\0x")
    endless = png(first, (text + chunk(b"prIv", b"")) * 10_001)
    with pytest.raises(BrokenImageError):
        open_image(endless)
