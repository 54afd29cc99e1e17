"""Two thousand damaged files: an image or an error of ours, and nothing else changes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

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
