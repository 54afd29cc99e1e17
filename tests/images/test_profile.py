"""Preprocessing equals plain arithmetic, bit for bit, and is data."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from PIL import Image

from onnxsearch.errors import InvalidArgumentError, ProfileError
from onnxsearch.images.conversion import (
    AS_LIBRARIES,
    AS_OPEN_CLIP,
    AS_SEEN,
    AS_TRANSFORMERS,
    to_rgb,
)
from onnxsearch.images.preprocessing.presets import profile_names
from onnxsearch.images.preprocessing.profile import PreprocessingProfile, Step

SHAPES = [(640, 480), (480, 640), (224, 224), (223, 225), (1, 1), (9, 500), (701, 8), (260, 347)]


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 4))
    image = Image.fromarray(pixels.astype(np.uint8))
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK", "LA"])
def test_keras_caffe_is_what_keras_does(size: tuple[int, int], mode: str) -> None:
    image = photo(*size, mode)
    # `load_img(target_size=(224, 224))`, `img_to_array`, `preprocess_input` of VGG16.
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    pixels = np.asarray(rgb.resize((224, 224), Image.Resampling.NEAREST), dtype=np.float32)
    expected = pixels[..., ::-1].copy()
    expected[..., 0] -= 103.939
    expected[..., 1] -= 116.779
    expected[..., 2] -= 123.68
    tensor = PreprocessingProfile.named("keras-caffe").apply(image, "NHWC")
    assert tensor.dtype == np.float32
    assert np.array_equal(tensor, expected)


@pytest.mark.parametrize("size", SHAPES)
def test_efficientnet_lite_is_what_its_builder_says(size: tuple[int, int]) -> None:
    image = photo(*size)
    width, height = size
    short = min(size)
    resized_width, resized_height = int(292 * width / short), int(292 * height / short)
    # Width first, then height, as Pillow up to version 12 does in one call.
    resized = image.resize((resized_width, height), Image.Resampling.BICUBIC)
    resized = resized.resize((resized_width, resized_height), Image.Resampling.BICUBIC)
    left, top = round((resized_width - 260) / 2), round((resized_height - 260) / 2)
    pixels = np.asarray(resized.crop((left, top, left + 260, top + 260)))
    expected = (pixels.astype(np.float32) - np.float32(127)) / np.float32(128)
    tensor = PreprocessingProfile.named("efficientnet-lite2").apply(image)
    assert np.array_equal(tensor, expected.transpose(2, 0, 1))


@pytest.mark.parametrize("size", SHAPES)
def test_torchvision_is_what_its_preset_does(size: tuple[int, int]) -> None:
    image = photo(*size)
    width, height = size
    short = min(size)
    target = int(256 * width / short), int(256 * height / short)
    resized = image.resize((target[0], height), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized.resize(target, Image.Resampling.BILINEAR))
    top, left = round((target[1] - 224) / 2), round((target[0] - 224) / 2)
    x = pixels[top : top + 224, left : left + 224].astype(np.float32) / np.float32(255)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    expected = ((x - mean) / deviation).transpose(2, 0, 1)
    assert np.array_equal(PreprocessingProfile.named("torchvision").apply(image), expected)


numbers = st.floats(-300, 300, width=32)
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["add", "subtract", "multiply", "divide"]),
        st.one_of(st.tuples(numbers), st.tuples(numbers, numbers, numbers)).filter(
            lambda values: all(abs(value) > 1e-3 for value in values)
        ),
        st.sampled_from(["float32", "float64"]),
    ),
    max_size=4,
)
sides = st.tuples(st.integers(1, 40), st.integers(1, 40))
fields = {
    "name": st.just("any"),
    "size": sides,
    "fit": st.sampled_from(["squash", "shortest", "cover", "contain"]),
    "resize_to": st.one_of(st.none(), st.integers(1, 50), sides),
    "rounding": st.sampled_from(["half-even", "floor", "truncate"]),
    "colours": st.sampled_from(["RGB", "BGR"]),
    "steps": steps.map(tuple),
}
profiles = st.one_of(
    st.builds(
        PreprocessingProfile,
        **fields,
        resample=st.sampled_from(["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]),
        decode=st.sampled_from([AS_SEEN, AS_LIBRARIES, AS_OPEN_CLIP]),
    ),
    st.builds(
        PreprocessingProfile,
        **fields,
        fill=st.tuples(*[st.integers(0, 255)] * 3),
        resample=st.sampled_from(["bilinear", "bicubic"]),
        resampler=st.sampled_from(["pillow", "torch", "reducing"]),
        decode=st.just(AS_TRANSFORMERS),
    ),
)
modes = st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I", "F", "I;16"])


def direct(profile: PreprocessingProfile, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = pixels.astype(np.float32)
    if profile.colours == "BGR":
        values = values[..., ::-1]
    operations = {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "divide": np.divide,
    }
    for step in profile.steps:
        operands = values.astype(step.precision), np.array(step.values, step.precision)
        values = operations[step.operation](*operands).astype(np.float32)
    return values


@given(profiles, st.integers(1, 60), st.integers(1, 60), modes)
def test_the_table_gives_the_bits_of_the_arithmetic(
    profile: PreprocessingProfile, width: int, height: int, mode: str
) -> None:
    image = Image.new(mode, (width, height)) if ";" in mode else photo(width, height, mode)
    pixels = np.asarray(profile.pixels(image))
    assert pixels.shape == (*profile.size, 3)
    expected = direct(profile, pixels)
    assert np.array_equal(profile.apply(image, "NHWC"), expected)
    assert np.array_equal(profile.apply(image, "NCHW"), expected.transpose(2, 0, 1))


def test_float16_is_the_rounded_float32() -> None:
    profile = PreprocessingProfile.named("torchvision")
    image = photo(300, 200)
    half = profile.apply(image, "NHWC", np.float16)
    assert half.dtype == np.float16
    assert np.array_equal(half, profile.apply(image, "NHWC").astype(np.float16))


def test_uint8_is_the_pixels_of_a_profile_without_steps() -> None:
    profile, image = PreprocessingProfile("plain", (5, 7), colours="BGR"), photo(30, 20)
    tensor = profile.apply(image, "NHWC", np.uint8)
    assert tensor.dtype == np.uint8
    assert np.array_equal(tensor, np.asarray(profile.pixels(image))[..., ::-1])
    with pytest.raises(InvalidArgumentError, match="float32 or float16"):
        PreprocessingProfile.named("torchvision").apply(image, dtype=np.uint8)


@pytest.mark.parametrize(
    "arguments",
    [{"dtype": "int8"}, {"dtype": "float64"}, {"dtype": "words"}, {"layout": "HWC"}],
    ids=repr,
)
def test_other_layouts_and_number_types_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        PreprocessingProfile("plain", (5, 7)).apply(photo(9, 9), **arguments)


@pytest.mark.parametrize(
    "values",
    [
        *({"size": size} for size in (224, (8.0, 8), (8,), "88", None, {8, 9})),
        *({"steps": steps} for steps in (5, ("divide",), Step("divide", (255,)))),
        *({"fill": fill} for fill in (7, (0, 0), (0, 0, 256), "abc")),
        *({"resize_to": size} for size in (0, 1.5, "9", (9,), True)),
        *({"decode": "white"}, {"name": 5}, {"fit": "stretch"}, {"resample": None}),
    ],
    ids=repr,
)
def test_values_of_a_profile_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        PreprocessingProfile(**{"name": "any", "size": (8, 8), **values})


@pytest.mark.parametrize("values", [255, None, "255", (), (1, 2), (float("nan"),), ("a",), (None,)])
def test_values_of_a_step_are_checked(values: Any) -> None:
    with pytest.raises(ProfileError, match="divide"):
        Step("divide", values)


def test_arithmetic_out_of_range_is_refused() -> None:
    profile = PreprocessingProfile("loud", (2, 2), steps=(Step("multiply", (300,)),))
    assert profile.apply(photo(4, 4)).max() > 300
    with pytest.raises(ProfileError, match="leaves the range of float16"):
        profile.apply(photo(4, 4), dtype=np.float16)


@given(profiles)
def test_json_keeps_everything(profile: PreprocessingProfile) -> None:
    again = PreprocessingProfile.from_json(profile.to_json())
    assert again == profile
    assert hash(again) == hash(profile)
    assert again.name == profile.name
    assert again.to_json() == profile.to_json()
    assert pickle.loads(pickle.dumps(profile)) == profile


@given(profiles, profiles)
def test_contents_are_equal_if_and_only_if_profiles_are(
    one: PreprocessingProfile, other: PreprocessingProfile
) -> None:
    assert (one.content() == other.content()) == (one == other)
    assert replace(one, name="other").content() == one.content()


@pytest.mark.parametrize("name", profile_names())
def test_every_named_profile_gives_a_tensor(name: str) -> None:
    size = 224 if name == "efficientnet-lite" else None
    profile = PreprocessingProfile.named(name, size)
    tensor = profile.apply(photo(300, 200))
    assert tensor.shape == (3, *profile.size)
    assert PreprocessingProfile.from_json(profile.to_json()) == profile


@pytest.mark.parametrize(("number", "size"), list(enumerate((224, 240, 260, 280, 300))))
def test_efficientnet_lite_in_all_sizes(number: int, size: int) -> None:
    by_number = PreprocessingProfile.named(f"efficientnet-lite{number}")
    assert by_number == PreprocessingProfile.named("efficientnet-lite", size)
    assert (by_number.size, by_number.resize_to) == ((size, size), size + 32)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("keras-cafe", None, "Did you mean 'keras-caffe'"),
        ("nothing like it", None, "Known: keras-caffe, "),
        ("efficientnet-lite", None, "needs a size"),
        ("torchvision", 299, "differs from model to model"),
    ],
)
def test_names_and_sizes_that_do_not_exist(name: str, size: int | None, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        PreprocessingProfile.named(name, size)


def test_squashing_profiles_exist_in_any_size() -> None:
    profile = PreprocessingProfile.named("keras-tf", (299, 200))
    assert profile.apply(photo(30, 20), "NHWC").shape == (299, 200, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "17",
        "{}",
        '{"size": [224]}',
        '{"size": [224, 0]}',
        '{"size": [224, "224"]}',
        '{"size": [2, 2], "colour": "RGB"}',
        '{"size": [2, 2], "fit": "stretch"}',
        '{"size": [2, 2], "resize_to": -1}',
        '{"size": [2, 2], "steps": [{"operation": "power", "values": [2]}]}',
        '{"size": [2, 2], "steps": [{"operation": "divide", "values": [0]}]}',
        '{"size": [2, 2], "steps": [{"operation": "add", "values": [1, 2]}]}',
        '{"size": [2, 2], "steps": 5}',
        '{"size": [2, 2], "decode": {"alpha": "pink"}}',
    ],
)
def test_json_that_is_no_profile(text: str) -> None:
    with pytest.raises(ProfileError):
        PreprocessingProfile.from_json(text)


def test_a_shared_image_is_not_changed() -> None:
    image = photo(50, 40, "RGBA")
    before = image.tobytes()
    PreprocessingProfile.named("open-clip").apply(image)
    assert image.tobytes() == before
    assert to_rgb(photo(5, 5), AS_SEEN).mode == "RGB"


def test_sizes_may_be_integers_of_numpy() -> None:
    side: Any = np.int64(128)
    named = PreprocessingProfile.named("keras-tf", side)
    assert named == PreprocessingProfile.named("keras-tf", (side, side))
    assert named.to_json() == PreprocessingProfile.named("keras-tf", 128).to_json()
