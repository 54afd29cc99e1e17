"""Opening images: a loaded image or an error of ours, whatever the file."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest
from PIL import Image, ImageFile

from onnxsearch.errors import (
    BrokenImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidArgumentError,
    ProfileError,
    UnsupportedImageError,
)
from onnxsearch.images.formats import can_decode
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import ReadPolicy, open_image
from onnxsearch.indexing.discovery import read_source
from onnxsearch.indexing.exclusion import Exclusion
from onnxsearch.types import ImageInput

PIXELS = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)


def encoded(image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    path.write_bytes(encoded())
    return path


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "file", "pillow", "array"])
def test_every_kind_of_source_gives_the_same_pixels(image_file: Path, kind: str) -> None:
    data = image_file.read_bytes()
    sources: dict[str, ImageInput] = {
        "str": str(image_file),
        "path": image_file,
        "bytes": data,
        "file": io.BytesIO(data),
        "pillow": Image.open(io.BytesIO(data)),
        "array": PIXELS,
    }
    assert np.array_equal(np.asarray(open_image(sources[kind])), PIXELS)


@pytest.mark.parametrize("policy", [ReadPolicy(), ReadPolicy(draft=100, truncated_jpeg=True)])
@pytest.mark.parametrize("cut", [0, 1000])
def test_a_jpeg_of_many_parts_gives_the_same_pixels_from_a_path_and_from_bytes(
    tmp_path: Path, policy: ReadPolicy, cut: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()[: len(buffer.getvalue()) - cut]
    assert len(data) > 2 * ImageFile.MAXBLOCK
    path = tmp_path / "noise.jpg"
    path.write_bytes(data)
    sources: list[ImageInput] = [path, data, io.BytesIO(data)]
    if cut and not policy.truncated_jpeg:
        for source in sources:
            with pytest.raises(BrokenImageError, match="damaged"):
                open_image(source, policy)
    else:
        assert len({open_image(source, policy).tobytes() for source in sources}) == 1


def test_a_binary_file_is_read_from_where_it_stands(image_file: Path) -> None:
    file = io.BytesIO(b"header" + image_file.read_bytes())
    file.seek(len(b"header"))
    assert open_image(file).size == (30, 40)


def test_an_array_may_change_afterwards() -> None:
    array = PIXELS.copy()
    image = open_image(array)
    array[:] = 0
    assert np.array_equal(np.asarray(image), PIXELS)


def test_the_file_is_closed_and_the_image_remains(tmp_path: Path) -> None:
    path = tmp_path / "animation.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    image = open_image(path)
    path.unlink()
    assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", BrokenImageError),
        (b"Dear Sir or Madam,\n" * 20, UnsupportedImageError),
        (encoded()[:100], BrokenImageError),
        (encoded("JPEG")[:300], BrokenImageError),
        (encoded()[:20], BrokenImageError),
        (b"\x89PNG but nothing else of it", BrokenImageError),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            UnsupportedImageError,
        ),
    ],
    ids=["empty", "text", "cut short", "cut short jpeg", "header only", "signature", "eps"],
)
def test_unusable_files(tmp_path: Path, content: bytes, error: type[ImageError]) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    with pytest.raises(error, match=r"file\.png"):
        open_image(path)
    with pytest.raises(error):
        open_image(content)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match="no such file"):
        open_image(tmp_path / "missing.png")
    with pytest.raises(ImageNotFoundError):
        open_image("null\0byte.png")


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("https://me:secret@example.org/cat.jpg", "is a URL, not a path: give Remote"),
        ("C:\new\temp.png", r"write the backslashes of a path as in r'C:\\new'"),
        ("photos/*.jpg", "is a pattern, not a path: give a folder"),
    ],
)
def test_what_is_mistaken_for_a_path_is_named(given: str, remedy: str) -> None:
    with pytest.raises(ImageNotFoundError, match=remedy) as caught:
        open_image(given)
    assert "secret" not in str(caught.value)
    with pytest.raises(ImageNotFoundError, match=remedy):
        read_source(given, Exclusion())


def test_a_file_may_be_named_like_a_pattern(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "*.png")
    assert open_image(tmp_path / "*.png").size == (8, 8)


def test_a_vector_is_no_image_but_may_be_searched_for() -> None:
    with pytest.raises(UnsupportedImageError, match=r"Query\.vector"):
        open_image(np.zeros(1280, np.float32))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImageError, match="is a folder"):
        open_image(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(UnsupportedImageError, match="not a regular file"):
        open_image(pipe)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (np.zeros((4, 4), np.uint8), UnsupportedImageError),
        (np.zeros((4, 4, 3), np.float32), UnsupportedImageError),
        (np.zeros((4, 4, 4), np.uint8), UnsupportedImageError),
        (np.zeros((0, 4, 3), np.uint8), BrokenImageError),
        (Image.new("RGB", (0, 5)), BrokenImageError),
        (io.StringIO("text"), UnsupportedImageError),
        (17, UnsupportedImageError),
    ],
    ids=["grey", "float", "rgba", "empty array", "empty image", "text file", "number"],
)
def test_other_things_than_images(source: object, error: type[ImageError]) -> None:
    with pytest.raises(error):
        open_image(cast("ImageInput", source))


def test_a_closed_file_is_broken(image_file: Path) -> None:
    with image_file.open("rb") as file:
        pass
    with pytest.raises(BrokenImageError):
        open_image(cast("BinaryIO", file))


def bomb(width: int, height: int) -> bytes:
    """Return a BMP that claims to be large and has no pixels at all."""
    header = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    size = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return header + size + b"\x01\0\x18\0" + bytes(24)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_001, 20_000, 1_000_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    # Its pixels are not there, so decoding it would say that it is broken.
    with pytest.raises(ImageTooLargeError, match="limit"):
        open_image(bomb(side, side))


def test_the_limit_is_the_callers(image_file: Path) -> None:
    assert open_image(image_file, ReadPolicy(max_pixels=1200)).size == (30, 40)
    for source in (image_file, PIXELS, Image.fromarray(PIXELS)):
        with pytest.raises(ImageTooLargeError, match="30 x 40 pixels"):
            open_image(source, ReadPolicy(max_pixels=1199))


@pytest.mark.filterwarnings("ignore")
def test_hostile_files_give_an_image_or_an_error_of_ours(
    shared: Callable[[str], Path],
) -> None:
    folder = shared("data/hostile")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    profiles = [PreprocessingProfile.named(name) for name in ("keras-caffe", "efficientnet-lite0")]
    images, errors = 0, 0
    for entry in manifest:
        try:
            image = open_image(folder / entry["path"])
            for profile in profiles:
                assert np.isfinite(profile.apply(image)).all(), entry["path"]
            images += 1
        except ImageError as error:
            assert str(error)
            errors += 1
    assert images + errors == len(manifest) == 410
    # What Pillow alone decodes, give or take what its version can read.
    assert images > 290
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    assert after == before


def photo(image_format: str = "JPEG", size: tuple[int, int] = (640, 480)) -> bytes:
    rows, columns = np.ogrid[: size[1], : size[0]]
    channels = [(rows + columns) % 256, (rows * 2 - columns) % 256, (columns * 3 + 0 * rows) % 256]
    image = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


CUT_JPEGS = ReadPolicy(truncated_jpeg=True)


def test_a_jpeg_without_its_end_is_the_same_image() -> None:
    data = photo()
    assert data.endswith(b"\xff\xd9")
    with pytest.raises(BrokenImageError):
        open_image(data[:-2])
    whole = np.asarray(open_image(data))
    assert np.array_equal(np.asarray(open_image(data[:-2], CUT_JPEGS)), whole)


@pytest.mark.parametrize("where", ["bytes", "path", "file"])
def test_half_a_jpeg_goes_as_far_as_it_goes(tmp_path: Path, where: str) -> None:
    data = photo()
    half = data[: len(data) // 2]
    path = tmp_path / "half.jpg"
    path.write_bytes(half)
    source: ImageInput = {"bytes": half, "path": path, "file": io.BytesIO(half)}[where]
    with pytest.raises(BrokenImageError):
        open_image(path)
    pixels = np.asarray(open_image(source, CUT_JPEGS))
    whole = np.asarray(open_image(data))
    assert np.array_equal(pixels[:100], whole[:100])
    assert not np.array_equal(pixels[-100:], whole[-100:])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    "data", [photo()[:100], photo("PNG")[:2000], photo("WEBP")[:2000]], ids=["head", "PNG", "WebP"]
)
def test_what_has_no_image_in_it_stays_broken(data: bytes) -> None:
    with pytest.raises(BrokenImageError):
        open_image(data, CUT_JPEGS)


@pytest.mark.parametrize(
    ("draft", "size"), [(480, (640, 480)), (240, (320, 240)), (61, (160, 120)), (1, (80, 60))]
)
def test_a_draft_keeps_at_least_as_many_pixels_as_asked(draft: int, size: tuple[int, int]) -> None:
    assert open_image(photo(), ReadPolicy(draft=draft)).size == size
    assert open_image(photo("PNG"), ReadPolicy(draft=draft)).size == (640, 480)


def test_a_draft_hardly_changes_what_averages_and_is_refused_by_what_picks() -> None:
    data = photo(size=(2000, 1600))
    whole, draft = open_image(data), open_image(data, ReadPolicy(draft=512))
    assert draft.size == (1000, 800)
    averaging = PreprocessingProfile.named("torchvision")
    pixels, drafted = (np.asarray(averaging.pixels(image), int) for image in (whole, draft))
    assert np.abs(pixels - drafted).mean() < 2
    with pytest.raises(ProfileError, match="nearest"):
        PreprocessingProfile.named("keras-caffe").apply(draft)


def test_the_limit_is_for_the_whole_image_and_not_for_its_draft() -> None:
    with pytest.raises(ImageTooLargeError, match="640 x 480"):
        open_image(photo(), ReadPolicy(max_pixels=100_000, draft=60))


def test_an_image_of_the_callers_is_not_made_a_draft() -> None:
    image = Image.open(io.BytesIO(photo()))
    assert open_image(image, ReadPolicy(draft=60)).size == (640, 480)


@pytest.mark.parametrize(
    "values",
    [
        {name: value}
        for name in ("max_pixels", "draft")
        for value in (0, -1, 1.0, 2.5, float("nan"), float("inf"), True, "9", [9], np.float64(9))
    ]
    + [{"max_pixels": None}],
    ids=repr,
)
def test_a_policy_takes_no_nonsense(values: dict[str, int]) -> None:
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        ReadPolicy(**values)


@pytest.mark.parametrize("value", [0, None, "yes", np.bool_(True)])
def test_truncated_jpegs_are_accepted_or_not(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="truncated_jpeg"):
        ReadPolicy(truncated_jpeg=value)  # type: ignore[arg-type]


def test_a_policy_takes_the_integers_of_numpy() -> None:
    assert ReadPolicy(max_pixels=np.int64(9), draft=np.uint8(5)) == ReadPolicy(9, draft=5)


def test_an_image_that_was_opened_is_not_checked_again(image_file: Path) -> None:
    # The engine opens an image by its policy; its embedders have policies of their own.
    strict = ReadPolicy(max_pixels=1)
    for source in (image_file, PIXELS, Image.fromarray(PIXELS)):
        opened = open_image(source)
        assert open_image(opened, strict) is opened
    with pytest.raises(ImageTooLargeError):
        open_image(Image.fromarray(PIXELS), strict)


def test_a_profile_of_single_pixels_refuses_drafts_before_any_image() -> None:
    drafts = ReadPolicy(draft=16)
    PreprocessingProfile.named("torchvision").check_reading(drafts)
    profile = PreprocessingProfile.named("keras-caffe")
    profile.check_reading(ReadPolicy())
    with pytest.raises(ProfileError, match=r"draft=None"):
        profile.check_reading(drafts)
    # An embedder that does not ask meets an error of the one image.
    with pytest.raises(ImageError, match="nearest"):
        profile.apply(open_image(photo(size=(2000, 1600)), drafts))


def test_heic_is_read_where_its_extra_is_installed() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    before = dict(Image.EXTENSION), list(Image.ID)
    image = Image.fromarray(PIXELS).resize((300, 400))
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90)
    data = buffer.getvalue()
    opened = open_image(data)
    assert (opened.size, opened.mode) == ((300, 400), "RGB")
    assert np.abs(np.asarray(opened, int) - np.asarray(image, int)).mean() < 8
    with pytest.raises(ImageTooLargeError, match="300 x 400"):
        open_image(data, ReadPolicy(max_pixels=119_999))
    with pytest.raises(BrokenImageError):
        open_image(data[: len(data) // 3])
    assert (dict(Image.EXTENSION), list(Image.ID)) == before


def test_heic_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedImageError, match=r"pip install \"onnxsearch\[heif\]\""):
        open_image(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100))


@pytest.mark.skipif(not can_decode("AVIF"), reason="this Pillow reads no AVIF")
def test_avif_is_read_by_pillow() -> None:
    assert open_image(photo("AVIF")).size == (640, 480)
