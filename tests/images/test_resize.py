"""Sizes, rounding, and pictures that are needles."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onnxsearch.images.profile import PreprocessingProfile
from onnxsearch.images.resize import centre_crop, resize, resize_shortest


@pytest.mark.parametrize("rest", range(8))
def test_crops_begin_where_torchvision_and_transformers_begin(rest: int) -> None:
    columns = np.arange(10 + rest, dtype=np.uint8)
    image = Image.fromarray(np.tile(columns, (10, 1)))
    half_even = np.asarray(centre_crop(image, (10, 10), "half-even"))
    assert half_even[0, 0] == int(round(rest / 2.0))  # noqa: RUF046
    assert np.asarray(centre_crop(image, (10, 10), "floor"))[0, 0] == rest // 2


@pytest.mark.parametrize(("rounding", "before"), [("half-even", 1), ("floor", 2)])
def test_a_picture_smaller_than_the_crop_gets_a_black_border(rounding: str, before: int) -> None:
    image = Image.new("RGB", (7, 7), "white")
    pixels = np.asarray(centre_crop(image, (10, 10), rounding))  # type: ignore[arg-type]
    assert pixels.shape == (10, 10, 3)
    assert pixels.sum() == 7 * 7 * 3 * 255
    assert (pixels[:before] == 0).all()
    assert (pixels[before : before + 7, before : before + 7] == 255).all()


def test_the_longer_side_is_rounded_down() -> None:
    assert resize_shortest(Image.new("RGB", (333, 500)), 224, "bilinear").size == (224, 336)
    assert resize_shortest(Image.new("RGB", (500, 333)), 224, "bilinear").size == (336, 224)


def test_width_is_resized_before_height() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1280, 720, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    wide = image.resize((224, 1280), Image.Resampling.BICUBIC)
    expected = wide.resize((224, 224), Image.Resampling.BICUBIC)
    assert resize(image, (224, 224), "bicubic").tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (3, 1_000_000)])
@pytest.mark.parametrize("name", ["torchvision", "keras-tf", "siglip"])
def test_needles_take_little_memory(name: str, size: tuple[int, int]) -> None:
    tensor = PreprocessingProfile.named(name).apply(Image.new("RGB", size, "white"))
    assert tensor.shape == (3, 224, 224)
    assert np.unique(tensor[0]).size == 1
