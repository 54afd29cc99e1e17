"""Opening pictures: a loaded image or an error of ours, whatever the file."""

from __future__ import annotations

import io
import json
import os
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
    UnsupportedImageError,
)
from onnxsearch.images.decode import ReadPolicy, open_image
from onnxsearch.images.profile import PreprocessingProfile
from onnxsearch.types import ImageInput

PIXELS = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)


def encoded(image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded())
    return path


@pytest.mark.parametrize("kind", ["str", "path", "bytes", "file", "pillow", "array"])
def test_every_kind_of_source_gives_the_same_pixels(picture: Path, kind: str) -> None:
    data = picture.read_bytes()
    sources: dict[str, ImageInput] = {
        "str": str(picture),
        "path": picture,
        "bytes": data,
        "file": io.BytesIO(data),
        "pillow": Image.open(io.BytesIO(data)),
        "array": PIXELS,
    }
    assert np.array_equal(np.asarray(open_image(sources[kind])), PIXELS)


def test_a_binary_file_is_read_from_where_it_stands(picture: Path) -> None:
    file = io.BytesIO(b"header" + picture.read_bytes())
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
def test_other_things_than_pictures(source: object, error: type[ImageError]) -> None:
    with pytest.raises(error):
        open_image(cast("ImageInput", source))


def test_a_closed_file_is_broken(picture: Path) -> None:
    with picture.open("rb") as file:
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


def test_the_limit_is_the_callers(picture: Path) -> None:
    assert open_image(picture, ReadPolicy(max_pixels=1200)).size == (30, 40)
    for source in (picture, PIXELS, Image.fromarray(PIXELS)):
        with pytest.raises(ImageTooLargeError, match="30 x 40 pixels"):
            open_image(source, ReadPolicy(max_pixels=1199))


@pytest.mark.filterwarnings("ignore")
def test_hostile_files_give_a_picture_or_an_error_of_ours(
    shared: Callable[[str], Path],
) -> None:
    folder = shared("data/hostile")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    profiles = [PreprocessingProfile.named(name) for name in ("keras-caffe", "efficientnet-lite0")]
    pictures, errors = 0, 0
    for entry in manifest:
        try:
            image = open_image(folder / entry["path"])
            for profile in profiles:
                assert np.isfinite(profile.apply(image)).all(), entry["path"]
            pictures += 1
        except ImageError as error:
            assert str(error)
            errors += 1
    assert pictures + errors == len(manifest) == 410
    # What Pillow alone decodes, give or take what its version can read.
    assert pictures > 290
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    assert after == before
