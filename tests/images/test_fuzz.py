"""Thousands of damaged files: an image or an error of ours, in little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from onnxsearch.errors import ImageError
from onnxsearch.images.conversion import DecodePolicy, to_rgb
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import ReadPolicy, open_image

pytestmark = pytest.mark.integration

FILES = 2_000
POLICIES = (ReadPolicy(), ReadPolicy(truncated_jpeg=True, draft=16))
PROFILES = [PreprocessingProfile.named(name) for name in ("keras-caffe", "open-clip", "hf-vit")]
SHOWN = DecodePolicy(colour_profile="srgb")


def seeds() -> list[bytes]:
    random = np.random.RandomState(0)
    soft = np.cumsum(random.randint(0, 3, (48, 64, 3)), axis=1).astype(np.uint8)
    rgb = Image.fromarray(soft)
    exif = Image.Exif()
    exif[0x0112] = 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(soft[..., 0].astype(np.uint16) * 200)
    saved = [
        (rgb, "JPEG", {"exif": exif, "icc_profile": icc}),
        (rgb, "JPEG", {"progressive": True, "quality": 60}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb.convert("L"), "JPEG", {}),
        (rgb, "PNG", {"exif": exif, "icc_profile": icc}),
        (rgb.quantize(16), "PNG", {"transparency": 3}),
        (deep, "PNG", {}),
        (rgb.quantize(16), "GIF", {"save_all": True, "append_images": [rgb.convert("L")]}),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        (rgb, "WEBP", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (deep, "TIFF", {}),
        (rgb.convert("CMYK"), "TIFF", {"compression": "jpeg"}),
        (rgb, "BMP", {}),
        (rgb, "AVIF", {}),
        (rgb, "JPEG2000", {}),
        (rgb, "PPM", {}),
        (rgb, "ICO", {"sizes": [(48, 48)]}),
    ]
    files = []
    for image, kind, options in saved:
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind, **options)
        except (KeyError, OSError):  # a Pillow built without this format
            continue
        files.append(buffer.getvalue())
    return files


def mutations() -> Iterator[bytes]:
    random = np.random.RandomState(1)
    originals = seeds()
    for number in range(FILES):
        data = bytearray(originals[number % len(originals)])
        # The header is where it hurts.
        end = len(data) if random.randint(2) else min(len(data), 200)
        for _ in range(random.randint(1, 4)):
            place = random.randint(end) % len(data)
            what = random.randint(5)
            if what == 0:
                data[place] ^= 1 << random.randint(8)
            elif what == 1:
                data[place : place + 4] = random.bytes(4)
            elif what == 2:
                extreme = (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0")
                data[place : place + 4] = extreme[random.randint(4)]
            elif what == 3:
                del data[place : place + random.randint(1, 40)]
            else:
                data[place:place] = data[place : place + random.randint(1, 40)]
            data = data or bytearray(1)
        if random.randint(4) == 0:
            del data[random.randint(1, len(data) + 1) :]
        yield bytes(data)


# --- files whose parts are well formed, and contradict each other


def hostile_pngs(random: np.random.RandomState) -> Iterator[bytes]:
    """Yield PNGs of chunks in any order, of any kind and length, with right checksums."""
    kinds = [
        *(b"IHDR", b"PLTE", b"IDAT", b"IDAT", b"IEND", b"iCCP", b"zTXt", b"iTXt", b"tEXt"),
        *(b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"cHRM", b"pHYs", b"abCd"),
    ]
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    header, pixels = whole[:33], whole[33:-12]
    while True:
        chunks = []
        for _ in range(random.randint(1, 8)):
            kind = kinds[random.randint(len(kinds))]
            data = random.bytes(random.randint(60))
            if kind in (b"iCCP", b"zTXt"):
                data = b"name\0\0" + zlib.compress(bytes(random.randint(3 << 20)), 1)
            elif kind == b"iTXt":
                data = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(random.bytes(99) * 20_000, 1)
            elif kind == b"IHDR":
                data = struct.pack(">IIBBBBB", *random.randint(0, 1 << 17, 2), 8, 2, 0, 0, 0)
            length = len(data) if random.randint(4) else int(random.randint(0, 1 << 31))
            checksum = zlib.crc32(kind + data)
            chunks.append(struct.pack(">I", length) + kind + data + struct.pack(">I", checksum))
        middle = random.randint(len(chunks) + 1)
        first, last = b"".join(chunks[:middle]), b"".join(chunks[middle:])
        yield header + first + pixels + last + whole[-12:]


def hostile_icons(random: np.random.RandomState) -> Iterator[bytes]:
    """Yield icons whose tables point anywhere, also into each other."""
    inner = []
    for side, kind in ((8, "PNG"), (900, "PNG"), (8, "DIB"), (400, "DIB"), (16, "JPEG2000")):
        buffer = io.BytesIO()
        Image.new("RGBA", (side, side)).save(buffer, kind)
        inner.append(buffer.getvalue())
    codes = (b"ic07", b"ic08", b"ic09", b"ic10", b"it32", b"t8mk", b"icp4", b"il32", b"TOC ")
    while True:
        chosen = [inner[random.randint(len(inner))] for _ in range(random.randint(1, 5))]
        if random.randint(2):
            count = len(chosen) if random.randint(4) else int(random.randint(1 << 16))
            offset, table = 6 + 16 * len(chosen), b""
            for image in chosen:
                place = offset if random.randint(3) else int(random.randint(offset + 99))
                table += random.bytes(8) + struct.pack("<II", len(image), place)
                offset += len(image)
            yield struct.pack("<HHH", 0, 1, count) + table + b"".join(chosen)
        else:
            blocks = b""
            for image in chosen:
                length = 8 + len(image) if random.randint(4) else int(random.randint(1 << 31))
                blocks += codes[random.randint(len(codes))] + struct.pack(">I", length) + image
            yield b"icns" + struct.pack(">I", 8 + len(blocks)) + blocks


def hostile_tiffs(random: np.random.RandomState) -> Iterator[bytes]:
    """Yield TIFFs of directories with tags, types, counts and offsets of every size."""
    tags = [
        *(254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 305, 317, 320, 322, 323),
        *(324, 325, 330, 338, 339, 347, 700, 34377, 34665, 34675, 50706, 65000),
    ]
    values = [0, 1, 2, 3, 5, 7, 8, 16, 32, 64, 400, 32803, 34712, 50000, 70_000, (1 << 32) - 1]
    compressions = [1, 2, 3, 4, 5, 6, 7, 8, 32773, 34712, 34925, 50000, 50001]
    while True:
        order = "<>"[random.randint(2)]
        chosen = dict.fromkeys(random.permutation(tags)[: random.randint(5)].tolist())
        chosen |= {256: 16, 257: 16, 258: 8, 262: 1, 277: 1, 273: 8, 279: 256}
        chosen[259] = compressions[random.randint(len(compressions))]
        directory = b""
        for tag in sorted(chosen):
            value = chosen[tag]
            if value is None or not random.randint(40):
                value = values[random.randint(len(values))]
            kind = 4 if random.randint(20) else int(random.randint(20))
            count = 1 if random.randint(20) else values[random.randint(len(values))]
            directory += struct.pack(f"{order}HHII", tag, kind, count, value)
        following = 8 if random.randint(6) == 0 else 0
        start = b"II*\0" if order == "<" else b"MM\0*"
        yield (
            start + struct.pack(f"{order}IH", 8, len(chosen)) + directory
            + struct.pack(f"{order}I", following) + random.bytes(random.randint(600))
        )  # fmt: skip


STRUCTURED = {"PNG": hostile_pngs, "icons": hostile_icons, "TIFF": hostile_tiffs}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STRUCTURED)
def test_files_that_contradict_themselves_give_an_image_or_an_error_of_ours(kind: str) -> None:
    policy = ReadPolicy(max_pixels=200_000)
    images = 0
    tracemalloc.start()
    try:
        for data in islice(STRUCTURED[kind](np.random.RandomState(2)), FILES):
            try:
                image = open_image(data, policy)
                assert image.width * image.height <= policy.max_pixels
                to_rgb(image, SHOWN)
                PROFILES[0].apply(image)
                images += 1
            except ImageError as error:
                assert str(error)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert images > FILES // 100
    # Of Python's memory; a file has up to 15 MB of text, and its text is read once.
    assert peak < 64 << 20


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_give_an_image_or_an_error_of_ours() -> None:
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    images = 0
    for number, data in enumerate(mutations()):
        policy = POLICIES[number % 2]
        try:
            image = open_image(data, policy)
            images += 1
            to_rgb(image, SHOWN)
            for profile in PROFILES[policy.draft is not None :]:
                assert np.isfinite(profile.apply(image)).all()
        except ImageError as error:
            assert str(error)
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    assert after == before
    # Neither all harmless nor all refused: the mutations reach the decoders.
    assert FILES // 5 < images < FILES * 4 // 5
