"""Sizes, rounding, and needles: images of extreme aspect."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onnxsearch.errors import ImageTooLargeError
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.resize import Fit, Resampler, centre_crop, resize, resize_to_fit
from onnxsearch.images.torch_resize import torch_resize


@pytest.mark.parametrize("rest", range(8))
def test_crops_begin_where_torchvision_and_transformers_begin(rest: int) -> None:
    columns = np.arange(10 + rest, dtype=np.uint8)
    image = Image.fromarray(np.tile(columns, (10, 1)))
    half_even = np.asarray(centre_crop(image, (10, 10), "half-even"))
    assert half_even[0, 0] == int(round(rest / 2.0))  # noqa: RUF046
    assert np.asarray(centre_crop(image, (10, 10), "floor"))[0, 0] == rest // 2
    assert np.asarray(centre_crop(image, (10, 10), "truncate"))[0, 0] == rest // 2


@pytest.mark.parametrize(("rounding", "before"), [("half-even", 1), ("floor", 2), ("truncate", 1)])
def test_an_image_smaller_than_the_crop_gets_a_black_border(rounding: str, before: int) -> None:
    image = Image.new("RGB", (7, 7), "white")
    pixels = np.asarray(centre_crop(image, (10, 10), rounding))  # type: ignore[arg-type]
    assert pixels.shape == (10, 10, 3)
    assert pixels.sum() == 7 * 7 * 3 * 255
    assert (pixels[:before] == 0).all()
    assert (pixels[before : before + 7, before : before + 7] == 255).all()


def fitted(size: tuple[int, int], fit: Fit, target: tuple[int, int]) -> tuple[int, int]:
    return resize_to_fit(Image.new("RGB", size), fit, target, "bilinear", "pillow").size


@pytest.mark.parametrize(
    ("fit", "target", "expected"),
    [
        ("shortest", (224, 224), (336, 224)),  # 336.3
        ("cover", (224, 224), (336, 224)),
        ("cover", (225, 224), (338, 225)),  # 337.8, rounded to the nearest
        ("contain", (224, 224), (224, 149)),  # 149.2
        ("contain", (100, 224), (150, 100)),
        ("squash", (100, 224), (224, 100)),
    ],
)
def test_the_side_that_is_left_follows(
    fit: Fit, target: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted((500, 333), fit, target) == expected
    assert fitted((333, 500), fit, target[::-1]) == expected[::-1]


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


@pytest.mark.parametrize(
    ("fit", "target"),
    [("shortest", (8192, 8192)), ("cover", (8192, 1)), ("cover", (1, 8192)), ("shortest", 2000)],
)
@pytest.mark.parametrize("size", [(100, 1), (1, 100), (1, 30_000), (99, 1)])
@pytest.mark.parametrize("resampler", ["pillow", "torch", "reducing"])
def test_a_needle_under_a_large_size_is_refused_before_it_takes_gigabytes(
    fit: Fit, target: int | tuple[int, int], size: tuple[int, int], resampler: Resampler
) -> None:
    profile = PreprocessingProfile(
        "large", (224, 224), fit=fit, resize_to=target, resampler=resampler
    )
    image = Image.new("RGB", size)
    allowed = {("cover", (8192, 1), True), ("cover", (1, 8192), False)}
    if (fit, target, size[1] > size[0]) in allowed:
        assert profile.apply(image).shape == (3, 224, 224)
        return
    with pytest.raises(ImageTooLargeError, match=f"{size[0]} x "):
        profile.apply(image)


def test_photographs_under_the_largest_size_are_resized() -> None:
    profile = PreprocessingProfile("large", (8, 8), fit="shortest", resize_to=8192)
    assert profile.apply(Image.new("L", (16, 9))).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (3, 1_000_000)])
def test_needles_take_little_memory_in_torchs_way_too(size: tuple[int, int]) -> None:
    resized = torch_resize(Image.new("RGB", size, "white"), (224, 224), "bicubic")
    assert resized.size == (224, 224)
    assert resized.getextrema() == ((255, 255),) * 3
