"""Conversion of rotation, transparency, and more or other channels than RGB."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from onnxsearch.embedders.onnx.embedder import OnnxEmbedder
from onnxsearch.errors import ProfileError
from onnxsearch.images.conversion import AS_LIBRARIES, AS_SEEN, DecodePolicy, to_rgb
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import open_image

UPRIGHT = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def stored_as(upright: NDArray[np.uint8]) -> dict[int, NDArray[np.uint8]]:
    """Return how each EXIF orientation stores an image, after the EXIF 2.32 standard, 4.6.5."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }


STORED = stored_as(UPRIGHT)


def saved(image: Image.Image, image_format: str, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return open_image(buffer.getvalue())


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_the_eight_orientations_of_an_image_are_one_image(
    orientation: int, image_format: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    image = saved(stored, image_format, exif=exif, **options)
    assert np.array_equal(np.asarray(to_rgb(image, AS_SEEN)), UPRIGHT)
    # Pillow itself turns TIFF files, so the libraries see them upright as well.
    as_libraries = UPRIGHT if image_format == "TIFF" else STORED[orientation]
    assert np.array_equal(np.asarray(to_rgb(image, AS_LIBRARIES)), as_libraries)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"\0"])
def test_broken_exif_data_is_no_orientation(exif: bytes) -> None:
    image = saved(Image.fromarray(UPRIGHT), "PNG", exif=exif)
    assert np.array_equal(np.asarray(to_rgb(image, AS_SEEN)), UPRIGHT)


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    image = saved(Image.fromarray(UPRIGHT), "PNG", exif=exif)
    assert np.array_equal(np.asarray(to_rgb(image, AS_SEEN)), UPRIGHT)


def test_transparency_shows_white_or_is_dropped() -> None:
    image = Image.new("RGBA", (2, 1), (200, 100, 0, 0))
    image.putpixel((1, 0), (200, 100, 0, 255))
    assert np.asarray(to_rgb(image, AS_SEEN)).tolist() == [[[255, 255, 255], [200, 100, 0]]]
    assert np.asarray(to_rgb(image, AS_LIBRARIES)).tolist() == [[[200, 100, 0], [200, 100, 0]]]


def test_half_transparency_is_mixed_with_white() -> None:
    image = Image.new("LA", (1, 1), (0, 128))
    assert to_rgb(image, AS_SEEN).getpixel((0, 0)) == (127, 127, 127)


def test_a_transparent_palette_colour() -> None:
    image = Image.new("P", (1, 1), 0)
    image.putpalette([10, 20, 30])
    image = saved(image, "PNG", transparency=0)
    assert to_rgb(image, AS_SEEN).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(image, AS_LIBRARIES).getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(image_format: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    image = saved(Image.fromarray(values), image_format)
    assert np.asarray(to_rgb(image, AS_SEEN))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert np.asarray(to_rgb(image, AS_LIBRARIES))[0, :, 0].tolist() == [0, 255, 255, 255, 255]


def test_8_bits_in_16_are_not_scaled() -> None:
    image = saved(Image.fromarray(np.array([[0, 100, 255]], np.uint16)), "PNG")
    assert image.mode == "I;16"
    assert np.asarray(to_rgb(image, AS_SEEN))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),
        ([0, 256, 65535], [0, 1, 255]),
        ([-5, 1 << 30, 2**31 - 1], [0, 128, 255]),
    ],
)
def test_32_bits_are_scaled_by_the_range_in_use(values: list[int], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    assert image.mode == "I"
    assert np.asarray(to_rgb(image, AS_SEEN))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-3.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([np.nan, np.inf, 1.0], [0, 0, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_floating_point_is_scaled_by_the_range_in_use(
    values: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert image.mode == "F"
    assert np.asarray(to_rgb(image, AS_SEEN))[0, :, 0].tolist() == expected


def test_cmyk_of_a_jpeg_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (200, 30, 40))
    image = saved(red.convert("CMYK"), "JPEG", quality=100)
    assert image.mode == "CMYK"
    pixels = np.asarray(to_rgb(image, AS_SEEN)).astype(int)
    assert np.abs(pixels - (200, 30, 40)).max() <= 4


def test_lab_keeps_its_colours() -> None:
    rgb = Image.new("RGB", (4, 4), (200, 30, 40))
    srgb, lab = (ImageCms.ImageCmsProfile(ImageCms.createProfile(n)) for n in ("sRGB", "LAB"))
    image = ImageCms.ImageCmsTransform(srgb, lab, "RGB", "LAB").apply(rgb)
    pixels = np.asarray(to_rgb(image, AS_SEEN)).astype(int)
    assert np.abs(pixels - (200, 30, 40)).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("policy", [AS_SEEN, AS_LIBRARIES], ids=["as seen", "as libraries"])
def test_the_image_is_read_and_not_changed(mode: str, policy: DecodePolicy) -> None:
    image = Image.new(mode, (6, 5))
    before = image.tobytes(), dict(image.info), image.mode
    rgb = to_rgb(image, policy)
    assert (rgb.mode, rgb.size) == ("RGB", (6, 5))
    assert (image.tobytes(), dict(image.info), image.mode) == before


def test_a_policy_takes_no_other_words() -> None:
    with pytest.raises(ProfileError, match="'white' or 'drop'"):
        DecodePolicy(alpha="black")  # type: ignore[arg-type]


def test_an_icc_profile_is_applied_on_demand() -> None:
    # A profile in which red and blue have changed places, as no default would give.
    srgb = ImageCms.createProfile("sRGB")
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    image.info["icc_profile"] = swapped(ImageCms.ImageCmsProfile(srgb).tobytes())
    shown = DecodePolicy(colour_profile="srgb")
    assert to_rgb(image, AS_SEEN).getpixel((0, 0)) == (200, 100, 50)
    red, green, blue = to_rgb(image, shown).getpixel((0, 0))
    assert abs(red - 50) <= 2
    assert abs(green - 100) <= 2
    assert abs(blue - 200) <= 2


@pytest.mark.parametrize("profile", [b"garbage", bytes(200), "LAB"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P"])
def test_an_icc_profile_that_does_not_fit_is_ignored(profile: bytes | str, mode: str) -> None:
    image = Image.new(mode, (4, 4), 60)
    expected = to_rgb(image, AS_SEEN).tobytes()
    if isinstance(profile, str):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(profile)).tobytes()
    image.info["icc_profile"] = profile
    shown = DecodePolicy(colour_profile="srgb")
    assert to_rgb(image, shown).tobytes() == expected


def swapped(profile: bytes) -> bytes:
    """Exchange the tags of red and blue in an ICC profile."""
    return profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def test_converting_last_does_not_mix_the_colours_of_a_palette() -> None:
    image = Image.new("P", (64, 64))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 32, 64))
    colours = np.asarray(PreprocessingProfile.named("open-clip").pixels(image))
    assert {tuple(pixel) for pixel in colours.reshape(-1, 3).tolist()} == {(255, 0, 0), (0, 0, 255)}


def test_the_eight_orientations_of_a_photo_have_one_vector(album: Path) -> None:
    upright = np.asarray(open_image(min(album.rglob("*.jpg"))).convert("RGB"))
    files = []
    for orientation, stored in stored_as(upright).items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG", exif=exif)
        files.append(buffer.getvalue())
    vectors = OnnxEmbedder.bundled("efficientnet-lite0").embed(files)
    assert (vectors @ vectors.T).min() > 1 - 1e-6
