"""The resampler `reducing`, and what is left out of a resizing without a change of bits."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from onnxsearch import DecodePolicy, PreprocessingProfile, ProfileError, ReadPolicy
from onnxsearch.images.preprocessing.presets import needs_size, profile_names
from onnxsearch.images.reading import open_image
from onnxsearch.images.resize import Crop, Fit, Resample, resize

sides = st.integers(1, 90)
crops = st.builds(
    Crop, st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from(["half-even", "floor"])
)
filters = st.sampled_from(["box", "bilinear", "hamming", "bicubic", "lanczos"])


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def photo(size: tuple[int, int]) -> Image.Image:
    """A picture without detail at the level of single pixels."""
    return noise((12, 9)).resize(size, Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, orientation: int = 1) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def profile(
    fit: Fit = "shortest", resample: Resample = "bicubic", size: int = 32
) -> PreprocessingProfile:
    return PreprocessingProfile(
        "small", (size, size), fit=fit, resize_to=size + 4, resample=resample, resampler="reducing"
    )


def pixels(profile: PreprocessingProfile, image: Image.Image) -> np.ndarray:
    return np.asarray(profile.pixels(image), int)


@given(
    size=st.tuples(sides, sides),
    resized=st.tuples(sides, sides),
    crop=crops,
    resample=filters,
    mode=st.sampled_from(["RGB", "L", "RGBA", "LA", "P", "I", "F"]),
)
def test_a_part_has_the_bits_of_the_whole(
    size: tuple[int, int], resized: tuple[int, int], crop: Crop, resample: Resample, mode: str
) -> None:
    image, box = noise(size, mode), crop.box(resized)
    whole = resize(image, resized, resample).crop(box)
    assert resize(image, resized, resample, box).tobytes() == whole.tobytes()


@given(
    size=st.tuples(sides, sides),
    fit=st.sampled_from(["squash", "shortest", "cover", "contain"]),
    resample=filters,
)
def test_every_size_becomes_the_size_of_the_profile(
    size: tuple[int, int], fit: Fit, resample: Resample
) -> None:
    reducing = profile(fit, resample)
    reduced = reducing.pixels(Image.new("RGB", size, (9, 99, 199)))
    exact = replace(reducing, resampler="pillow").pixels(Image.new("RGB", size, (9, 99, 199)))
    assert reduced.tobytes() == exact.tobytes()  # a border, if there is one, is where it was


@pytest.mark.parametrize(
    ("size", "levels"),
    [((90, 71), 0), ((71, 40), 0), ((36, 36), 0), ((9, 30), 0), ((72, 72), 1), ((99, 180), 1)],
)
def test_pixels_change_only_where_an_image_is_twice_as_large_as_needed(
    size: tuple[int, int], levels: int
) -> None:
    reducing = profile()
    exact = replace(reducing, resampler="pillow")
    difference = np.abs(pixels(reducing, noise(size)) - pixels(exact, noise(size)))
    assert difference.max() <= levels


@pytest.mark.parametrize("size", [(640, 480), (301, 977), (1000, 37)])
def test_reduced_images_hardly_differ(size: tuple[int, int]) -> None:
    reducing = profile()
    exact = replace(reducing, resampler="pillow")
    difference = np.abs(pixels(reducing, photo(size)) - pixels(exact, photo(size)))
    assert difference.mean() < 1
    assert difference.max() < 12


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((640, 480), (160, 120)),
        ((1200, 1200), (150, 150)),
        ((288, 300), (72, 75)),
        ((287, 300), (144, 150)),
        ((143, 300), (143, 300)),
        ((30, 20), (30, 20)),
        ((20, 2000), (20, 2000)),
    ],
)
def test_jpegs_are_decoded_with_twice_the_pixels_that_are_needed(
    size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    data = jpeg(photo(size))
    assert open_image(data, profile().reading_for(ReadPolicy())).size == decoded


@pytest.mark.parametrize("fit", ["squash", "shortest", "cover", "contain"])
def test_both_sides_keep_enough_pixels_under_every_fit(fit: Fit) -> None:
    reducing = replace(profile(fit), size=(20, 40), resize_to=(20, 40))
    for size in ((400, 300), (300, 400), (1600, 90)):
        opened = open_image(jpeg(photo(size)), reducing.reading_for(ReadPolicy()))
        exact = replace(reducing, resampler="pillow")
        difference = np.abs(pixels(reducing, opened) - pixels(exact, photo(size)))
        assert difference.mean() < 2, size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept(orientation: int) -> None:
    reducing, image = profile(), photo((640, 480))
    reading = reducing.reading_for(ReadPolicy())
    opened = open_image(jpeg(image, orientation), reading)
    assert max(opened.size) < 640
    exact = replace(reducing, resampler="pillow")
    whole = open_image(jpeg(image, orientation))
    assert np.abs(pixels(reducing, opened) - pixels(exact, whole)).mean() < 2


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (3, 1_000_000)])
@pytest.mark.parametrize("fit", ["squash", "shortest", "cover", "contain"])
def test_needles_take_little_memory(fit: Fit, size: tuple[int, int]) -> None:
    found = profile(fit, size=224).pixels(Image.new("RGB", size, "white"))
    assert found.size == (224, 224)


def test_the_callers_own_draft_counts() -> None:
    policy = ReadPolicy(max_pixels=10_000, draft=5)
    assert profile().reading_for(policy) is policy
    assert profile().reading_for(ReadPolicy(max_pixels=10_000)) == ReadPolicy(10_000, draft=72)


@pytest.mark.parametrize("name", profile_names())
def test_named_profiles_promise_parity_and_never_reduce(name: str) -> None:
    named = PreprocessingProfile.named(name, 224 if needs_size(name) else None)
    policy = ReadPolicy()
    assert named.resampler != "reducing"
    assert named.reading_for(policy) is policy


def test_what_picks_pixels_or_resizes_before_conversion_cannot_reduce() -> None:
    with pytest.raises(ProfileError, match="nearest"):
        profile(resample="nearest")
    with pytest.raises(ProfileError, match="convert='first'"):
        replace(profile(), decode=DecodePolicy(convert="last"))


def test_it_is_part_of_what_a_fingerprint_hashes() -> None:
    exact = replace(profile(), resampler="pillow")
    assert profile().content() != exact.content()
    assert PreprocessingProfile.from_json(profile().to_json()) == profile()


def test_every_version_of_pillow_gives_the_same_bits() -> None:
    found = hashlib.sha256()
    for size in ((100, 71), (70, 90), (150, 121), (301, 203), (80, 240), (30, 500)):
        found.update(profile().pixels(noise(size)).tobytes())
    # Of Pillow 10.4 and 13.0, which resize portraits in another order by themselves.
    assert found.hexdigest().startswith("35b870e93b336cae")
