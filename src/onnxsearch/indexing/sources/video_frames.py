"""Frames of video files, in the order of time, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, NoReturn, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from onnxsearch.errors import BrokenImageError, ImageTooLargeError, UnsupportedImageError
from onnxsearch.images.reading import DEFAULT_MAX_PIXELS
from onnxsearch.indexing.sources.files import open_source

_FORMATS = "asf,avi,dv,flv,ivf,matroska,webm,mov,mpeg,mpegts,mxf,ogg,nut,h264,hevc,m4v,mpegvideo"
"""Containers that hold a film. Playlists and scripts, which name other files and addresses,
are not among them: concat, dash, hls, image sequences."""

_SMALL = (64, 36)
"""Pixels of the copies that are compared to find cuts, as in FFmpeg enough to see them."""


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """One frame that was decoded, in the colours of the video."""

    time: float
    """Seconds since the beginning of the video."""
    frame: VideoFrame

    def image(self) -> bytes:
        """Return the frame upright, in RGB, as a PPM file.

        A file, since the bytes of an image show whether it is stored already.
        """
        pixels = self.frame.to_ndarray(format="rgb24")
        # PyAV gives the angle counter-clockwise, as numpy takes it.
        upright = np.ascontiguousarray(np.rot90(pixels, round(self.frame.rotation / 90) % 4))
        height, width, _ = upright.shape
        return b"P6 %d %d 255\n" % (width, height) + upright.tobytes()

    def grey(self) -> NDArray[np.int16]:
        """Return a small copy of the frame, to compare it with others."""
        width, height = _SMALL
        small = self.frame.reformat(width=width, height=height, format="gray")
        return small.to_ndarray().astype(np.int16)


def frames_of(path: str) -> Iterator[TimedFrame]:
    """Yield the frames of a video, decoded one after another.

    Frames that are damaged are left out.

    Raises:
        UnsupportedImageError: It is not a video, or of a format that is not supported.
        ImageTooLargeError: Its frames have more pixels than the default limit.
        BrokenImageError: It is damaged or cut short; raised when its other frames were yielded.
    """
    with open_source(path) as file, _opened(file, path) as container:
        stream = _video_stream(container, path)
        decoder = _Decoder(container, stream, path)
        step = float(1 / stream.average_rate) if stream.average_rate else 0.0
        start: float | None = None
        time = 0.0
        for frame in decoder:
            seen = (start or 0.0) + time + step if frame.pts is None else frame.time
            start = seen if start is None else start
            # Damaged videos, and those that were cut together, run backwards at times.
            time = max(time, seen - start)
            yield TimedFrame(time, frame)
        if decoder.damage is not None:
            raise BrokenImageError(
                f"video {path!r} is damaged or cut short ({decoder.damage}): frames are missing, "
                f"and the last one is at {time:.3f} seconds"
            )


class _Decoder:
    """The frames of one stream that can be decoded, and whether others cannot."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: str) -> None:
        self._container = container
        self._stream = stream
        self._path = path
        self.damage: str | None = None
        """What is damaged, None if nothing was so far."""

    def __iter__(self) -> Iterator[VideoFrame]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    self.damage = "incomplete data"
                yield from self._frames(packet)
        except av.error.FFmpegError as error:
            self.damage = error.strerror or str(error)

    def _frames(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        try:
            for frame in packet.decode():
                _check_size(frame.width, frame.height, self._path)
                if not frame.is_corrupt:
                    yield frame
        except av.error.FFmpegError as error:
            self.damage = error.strerror or str(error)


@contextmanager
def _opened(file: BinaryIO, path: str) -> Iterator[InputContainer]:
    """Open a video that stands for itself, and lets FFmpeg open nothing else."""
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
    try:
        container = av.open(file, "r", options=options, io_open=_refuse)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnsupportedImageError(
            f"{path!r} is not a video, or of a format that is not read: {_detail(error)}"
        ) from error
    with container:
        yield container


def _detail(error: Exception) -> str:
    return (isinstance(error, av.error.FFmpegError) and error.strerror) or str(error)


def _refuse(url: str, flags: int, options: object) -> NoReturn:
    del flags, options
    raise OSError(f"a video refers to {url!r:.300}, which is not opened")


def _video_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the first stream of images that is not a cover.

    Raises:
        UnsupportedImageError: There is none, or it cannot be decoded.
    """
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        # None of a codec that this FFmpeg does not know, whatever the types of PyAV say.
        codec = cast("VideoCodecContext | None", stream.codec_context)
        if codec is None:
            raise UnsupportedImageError(f"the codec of video {path!r} is not supported")
        _check_size(codec.width, codec.height, path)
        # FFmpeg checks it too, before it reserves memory for a frame.
        codec.options = {"max_pixels": str(DEFAULT_MAX_PIXELS)}
        stream.thread_type = "AUTO"
        return stream
    raise UnsupportedImageError(f"{path!r} holds no video")


def _check_size(width: int, height: int, path: str) -> None:
    if width * height > DEFAULT_MAX_PIXELS:
        raise ImageTooLargeError(
            f"video {path!r} has frames of {width} x {height} pixels, and the limit is "
            f"{DEFAULT_MAX_PIXELS}: they are not decoded"
        )
