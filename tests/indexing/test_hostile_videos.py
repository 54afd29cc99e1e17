"""Hostile videos: each gives an outcome, opens nothing else, and reaches no address."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from onnxsearch import Video
from tests.indexing.reading import MEMORY, cost, errors, results, tree
from tests.indexing.test_videos import film, png
from tests.indexing.web import listening

COLOURS = ["red", "blue"] * 20


def written(folder: Path, suffix: str, **options: str) -> bytes:
    """Return a video of noise, which does not compress."""
    path = folder / f"made.{suffix}"
    noise = np.random.default_rng(1)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for _ in range(40):
            pixels = noise.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.unlink()
    return data


def enlarged(data: bytes) -> bytes:
    """Return the video with frames of 32,000 x 32,000 pixels, as its header says."""
    changed = bytearray(data)
    entry = data.index(b"mp4v", data.index(b"stsd"))
    struct.pack_into(">2H", changed, entry + 28, 32_000, 32_000)
    return bytes(changed)


def referring(data: bytes) -> bytes:
    """Return the video with its frames in another file, as its header says."""
    start = data.index(b"dref") - 4
    size = struct.unpack_from(">I", data, start)[0]
    url = b"file:///etc/passwd\0"
    entry = struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    changed = data[:start] + dref + data[start + size :]
    # The boxes around it grow too.
    grown = bytearray(changed)
    for name in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = changed.rindex(name, 0, start + 8) - 4
        before = struct.unpack_from(">I", grown, place)[0]
        struct.pack_into(">I", grown, place, before + len(dref) - size)
    return bytes(grown)


def playlist(port: int) -> Mapping[str, bytes]:
    here = f"http://127.0.0.1:{port}/a.ts"
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{here}\n#EXT-X-ENDLIST\n".encode(),
        "hls of files": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n",
        "concat": f"ffconcat version 1.0\nfile '{here}'\n".encode(),
        "concat of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
            f"<BaseURL>{here}</BaseURL><Period><AdaptationSet mimeType='video/mp4'>"
            "<Representation id='1' bandwidth='1'/></AdaptationSet></Period></MPD>"
        ).encode(),
        "sdp": (
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP"
            " 96\na=rtpmap:96 H264/90000\n"
        ).encode(),
        "real media": f"rtsp://127.0.0.1:{port}/a\n".encode(),
        "windows media": f'<ASX version="3"><Entry><Ref href="{here}"/></Entry></ASX>'.encode(),
    }


FILES: Mapping[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda f: b"", "not a video"),
    "noise": (lambda f: os.urandom(20_000), "not a video|no video|damaged"),
    "text": (lambda f: b"no video at all\n" * 500, "not a video"),
    "zeros": (lambda f: bytes(100_000), "not a video|no video|damaged"),
    "image": (lambda f: png(), "not a video"),
    "header only": (lambda f: written(f, "mp4")[:32], "not a video|no video"),
    "mp4 that lost its end": (lambda f: written(f, "mp4")[:-2000], "not a video"),
    "mp4 that is cut": (lambda f: cut(written(f, "mp4", movflags="faststart")), "cut short"),
    "avi that is cut": (lambda f: cut(written(f, "avi")), "cut short"),
    "damaged frames": (lambda f: scratched(written(f, "mp4", movflags="faststart")), ""),
    "enormous frames": (
        lambda f: enlarged(written(f, "mp4")),
        "",
    ),  # the frames themselves are small
    "frames in another file": (lambda f: referring(written(f, "mp4")), ""),
    "matroska of nothing": (lambda f: written(f, "mkv")[:300], "not a video|no video|damaged"),
    "codec that nobody knows": (
        lambda f: written(f, "mkv").replace(b"V_MPEG4/ISO/ASP", b"V_XPEG9/ISO/ASP"),
        "is not supported",
    ),
    "frames of size zero": (lambda f: zeroed(written(f, "mp4")), ""),
}


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def scratched(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + os.urandom(4000) + data[middle + 4000 :]


def zeroed(data: bytes) -> bytes:
    changed = bytearray(data)
    entry = data.index(b"mp4v", data.index(b"stsd"))
    struct.pack_into(">2H", changed, entry + 28, 0, 0)
    return bytes(changed)


@pytest.mark.parametrize("kind", playlist(0))
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ts"])
def test_a_file_that_refers_to_others_is_refused(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    with listening() as (port, met):
        path.write_bytes(playlist(port)[kind])
        assert results(Video(path)) == {str(path): "unsupported"}
    assert met == []


@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_video_is_an_outcome(tmp_path: Path, kind: str) -> None:
    make, reason = FILES[kind]
    path = tmp_path / "clip.mp4"
    path.write_bytes(make(tmp_path))
    before = tree(tmp_path)
    message = errors(Video(path))
    assert any(part in message for part in reason.split("|")), message
    assert cost(lambda: results(Video(path, every=0.1))) < MEMORY
    assert set(results(Video(path)).values()) <= {"image", "broken", "unsupported", "too_large"}
    assert tree(tmp_path) == before


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_the_frames_before_the_damage_are_read(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(cut(written(tmp_path, suffix, **options)))
    *before, last = results(Video(path)).values()
    assert set(before) == {"image"}
    assert last == "broken"


def test_frames_of_too_many_pixels_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.indexing.sources.video_frames.DEFAULT_MAX_PIXELS", 64 * 48 - 1)
    path = film(tmp_path / "a.mp4", COLOURS)
    assert results(Video(path)) == {str(path): "too_large"}
    assert "frames of 64 x 48 pixels" in errors(Video(path))


def test_a_linked_list_of_times_does_not_run_backwards(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", COLOURS)
    uris = [entry.uri for entry in Video(path, every=0.2)]
    assert uris == sorted(uris)


def test_an_image_is_no_video(tmp_path: Path) -> None:
    for name in ("JPEG", "GIF", "WEBP"):
        path = tmp_path / f"a.{name.lower()}"
        Image.new("RGB", (16, 16)).save(path)
        assert results(Video(path)) == {str(path): "unsupported"}
