"""Videos as sources: which frames are taken, when, and which way up."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    SearchEngine,
    Video,
)
from onnxsearch.testing import FakeEmbedder
from tests.indexing.reading import errors, results

RATE = 10
SIZE = (64, 48)
COLOURS = ("red", "blue", "white", "green")


def film(
    path: Path, colours: Sequence[str], times: Sequence[float] | None = None, **options: str
) -> Path:
    """Write a video with a frame of each colour, at these times in seconds."""
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height = SIZE
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, colour in enumerate(colours):
            image = Image.new("RGB", SIZE, colour)
            image.paste("black", (0, 0, SIZE[0] // 2, SIZE[1] // 2))
            frame = av.VideoFrame.from_image(image)
            frame.pts = round(1000 * (times[number] if times else number / RATE))
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def items(video: Video) -> list[Item]:
    entries = list(video)
    assert all(isinstance(entry, Item) for entry in entries), entries
    return [entry for entry in entries if isinstance(entry, Item)]


def times(video: Video) -> list[str]:
    return [str(item.uri).partition("#t=")[2] for item in items(video)]


def pixels(item: Item) -> Any:
    assert callable(item.image)
    data = item.image()
    assert isinstance(data, bytes)
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_frame_is_taken_every_second(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", ["red"] * 35)
    assert times(Video(path)) == ["0.000", "1.000", "2.000", "3.000"]
    first = items(Video(path))[0]
    assert (first.id, first.uri) == (None, f"{path}#t=0.000")
    assert first.metadata == {"video": str(path), "time": 0.0}


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0.1, [f"{n / 10:.3f}" for n in range(20)]),
        (0.25, ["0.000", "0.300", "0.500", "0.800", "1.000", "1.300", "1.500", "1.800"]),
        (0.001, [f"{n / 10:.3f}" for n in range(20)]),
        (1.5, ["0.000", "1.500"]),
        (60, ["0.000"]),
    ],
)
def test_the_interval_is_chosen(tmp_path: Path, every: float, expected: list[str]) -> None:
    assert times(Video(film(tmp_path / "a.mp4", ["red"] * 20), every=every)) == expected


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "ts"])
def test_containers_of_many_kinds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    if suffix == "avi":
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=RATE)
            stream.width, stream.height = SIZE
            for _ in range(15):
                container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", SIZE))))
            container.mux(stream.encode())
    else:
        film(path, ["red"] * 15)
    assert len(items(Video(path))) == 2


def test_a_frame_is_taken_at_each_cut(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [colour for colour in COLOURS for _ in range(12)])
    assert times(Video(path, scene_threshold=0.3)) == ["0.000", "1.200", "2.400", "3.600"]
    shown = [pixels(item)[40, 60] for item in items(Video(path, scene_threshold=0.3))]
    nearest = [min(COLOURS, key=lambda name: distance(name, shade)) for shade in shown]
    assert nearest == list(COLOURS)
    both = ["0.000", "1.000", "1.200", "2.200", "2.400", "3.400", "3.600", "4.600"]
    assert times(Video(path, scene_threshold=0.3, every=1)) == both


def distance(name: str, shade: Any) -> float:
    return float(np.abs(np.subtract(Image.new("RGB", (1, 1), name).getpixel((0, 0)), shade)).sum())


def test_times_are_those_of_the_frames(tmp_path: Path) -> None:
    """Of a video whose frames are not equally far apart, and which begins late."""
    path = film(tmp_path / "a.mkv", ["red"] * 5, [7.0, 7.04, 7.9, 9.5, 9.6])
    assert times(Video(path)) == ["0.000", "2.500"]
    assert times(Video(path, every=0.5)) == ["0.000", "0.900", "2.500"]


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((0, 1, -1, 0), (1, 0)), ((-1, 0, 0, -1), (1, 1)), ((0, -1, 1, 0), (0, 1))],
)
def test_frames_are_turned_as_the_camera_says(
    tmp_path: Path, matrix: tuple[int, ...], corner: tuple[int, int]
) -> None:
    """The black corner, at the top left of the stored frame, is where the matrix turns it."""
    path = film(tmp_path / "a.mp4", ["white"] * 3)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (item,) = items(Video(path))
    image = pixels(item)
    sideways = matrix[0] == 0
    assert image.shape[:2] == ((SIZE[0], SIZE[1]) if sideways else (SIZE[1], SIZE[0]))
    right, bottom = corner
    height, width = image.shape[:2]
    dark = image[height * (1 + 2 * bottom) // 4, width * (1 + 2 * right) // 4]
    light = image[height * (3 - 2 * bottom) // 4, width * (3 - 2 * right) // 4]
    assert dark.max() < 60
    assert light.min() > 200


def test_metadata_of_the_caller_are_added(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ["red"])
    (item,) = items(Video(path, metadata={"place": "beach"}))
    assert item.metadata == {"video": str(path), "time": 0.0, "place": "beach"}


def test_frames_are_stored_once(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ["red"] * 10 + ["blue"] * 10 + ["red"] * 10)
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    counts = engine.add_many(Video(path)).counts
    assert counts["indexed"] + counts["duplicate"] == 3
    assert engine.get(f"{path}#t=1.000") is not None
    again = engine.add_many(Video(path)).counts
    assert (again["unchanged"] + again["duplicate"], again["indexed"]) == (3, 0)


def test_a_cover_is_not_the_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        container.add_attachment("cover.png", "image/png", png())
        stream: Any = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height = SIZE
        container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", SIZE, "red"))))
        container.mux(stream.encode())
    (item,) = items(Video(path))
    assert pixels(item)[0, 0].argmax() == 0


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(file, "PNG")
    return file.getvalue()


def test_refuses_what_is_no_interval(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ["red"])
    with pytest.raises(InvalidArgumentError, match="every 0: expected seconds"):
        Video(path, every=0)
    with pytest.raises(InvalidArgumentError, match=r"scene_threshold 30: expected a number from 0"):
        Video(path, scene_threshold=30)


def test_a_sound_without_images_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert results(Video(path)) == {str(path): "unsupported"}
    assert "holds no video" in errors(Video(path))
