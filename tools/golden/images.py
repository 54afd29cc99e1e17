"""The images on which references are made: the same bytes of pixels everywhere.

All are made from seeds by NumPy's `RandomState`, whose stream is frozen, and stored
without loss, so that every version of Pillow decodes the same pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# (width, height): single pixels, odd sizes, around the usual targets, photographs, needles.
SHAPES = [
    *((1, 1), (1, 2), (2, 1), (1, 7), (7, 1), (3, 3), (5, 4), (8, 8), (11, 13), (16, 9)),
    *((31, 33), (33, 31), (47, 61), (64, 64), (99, 100), (100, 99), (127, 255), (255, 127)),
    *((128, 128), (150, 224), (223, 223), (224, 224), (225, 225), (223, 225), (225, 223)),
    *((224, 300), (300, 224), (224, 223), (231, 233), (232, 232), (233, 232), (255, 256)),
    *((256, 256), (257, 256), (256, 257), (257, 257), (260, 347), (299, 299), (300, 200)),
    *((200, 300), (301, 199), (333, 500), (500, 333), (384, 384), (385, 383), (400, 401)),
    *((427, 640), (640, 427), (480, 640), (640, 480), (512, 512), (513, 511), (539, 720)),
    *((600, 800), (800, 600), (601, 799), (768, 1024), (1024, 768), (720, 1280), (1280, 720)),
    *((1000, 1000), (1001, 667), (1411, 1411), (9, 700), (700, 9), (20, 500), (500, 20)),
    *((50, 1999), (1999, 50), (64, 3000), (3000, 64), (333, 1777), (1777, 333), (97, 1013)),
    *((2000, 1500), (1500, 2000)),
]
FAST = {
    *("1x1", "2x1", "1x7", "11x13", "31x33", "127x255", "224x224", "223x225", "257x256"),
    *("300x200", "200x300", "333x500", "427x640", "9x700", "700x9", "720x1280"),
    *("L", "LA", "RGBA", "P", "P transparent", "1", "CMYK", "I;16", "I", "F", "GIF", "EXIF 6"),
    *("16-bit RGB", "WebP RGBA"),
}
"""Those in the fast tests; the others take too long, or say nothing new."""


@dataclass(frozen=True, slots=True)
class GoldenImage:
    name: str
    data: bytes
    """An image file."""


def golden_images(names: set[str] | None = None) -> Iterator[GoldenImage]:
    """Yield the images, or those of the given names."""
    for seed, (width, height) in enumerate(SHAPES):
        name = f"{width}x{height}"
        if names is None or name in names:
            yield GoldenImage(name, _saved(Image.fromarray(_pixels(seed, width, height)[..., :3])))
    for image in _modes():
        if names is None or image.name in names:
            yield image


def _pixels(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return four channels: in turn noise, which is hardest on rounding, and soft colours."""
    random = np.random.RandomState(seed)
    noise = random.randint(0, 256, (height, width, 4)).astype(np.uint8)
    if seed % 2 == 0:
        return noise
    rows, columns = np.ogrid[:height, :width]
    slopes = random.randint(1, 40, (4, 2))
    waves = [(rows * a // 8 + columns * b // 8) % 511 - 255 for a, b in slopes]
    soft = np.stack([np.abs(wave) for wave in waves], axis=-1)
    return np.clip(soft + noise % 7, 0, 255).astype(np.uint8)


def _modes() -> Iterator[GoldenImage]:
    four = _pixels(1001, 301, 203)
    rgba = Image.fromarray(four)
    rgb = Image.fromarray(four[..., :3])
    deep = np.random.RandomState(1002).randint(0, 65536, (203, 301))
    palette = rgb.quantize(60)
    exif = Image.Exif()
    exif[0x0112] = 6
    later = Image.fromarray(255 - four[..., :3])
    yield GoldenImage("RGBA", _saved(rgba))
    yield GoldenImage("L", _saved(rgb.convert("L")))
    yield GoldenImage("LA", _saved(rgba.convert("LA")))
    yield GoldenImage("P", _saved(palette))
    yield GoldenImage("P transparent", _saved(palette, transparency=3))
    yield GoldenImage("1", _saved(rgb.convert("1")))
    yield GoldenImage("CMYK", _saved(rgb.convert("CMYK"), "TIFF"))
    yield GoldenImage("I;16", _saved(Image.fromarray(deep.astype(np.uint16))))
    yield GoldenImage("I", _saved(Image.fromarray(deep.astype(np.int32)), "TIFF"))
    yield GoldenImage("F", _saved(Image.fromarray((deep / 65535).astype(np.float32)), "TIFF"))
    yield GoldenImage("16-bit RGB", _saved_16_bit(deep))
    yield GoldenImage("GIF", _saved(palette, "GIF", save_all=True, append_images=[later]))
    yield GoldenImage("WebP RGBA", _saved(rgba, "WEBP", lossless=True, exact=True))
    yield GoldenImage("EXIF 6", _saved(rgb, exif=exif))


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    if kind == "PNG":
        options["compress_level"] = 1
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _saved_16_bit(values: NDArray[np.int64]) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow reads and cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width = values.shape
    colours = np.stack([values, values // 2, 65535 - values], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
