"""Videos as sources of images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.validation import number, optional, seconds
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.errors import ImageError, MissingExtraError
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.files import source_file
from onnxsearch.types import Item, MetadataInput, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxsearch.indexing.sources.video_frames import TimedFrame

_EVERY = 1.0
"""Seconds between two frames, by default."""

_ROUNDING = 1e-6
"""Seconds by which times may be wrong, as floats."""


class Video:
    """Frames of a video: one every n seconds, or one at each cut.

    Needs the extra `[video]`. The id of a frame, and its `uri`, is the absolute path of the
    video and the time: `/films/clip.mp4#t=12.500`, in seconds since the first frame. Its metadata
    are `video` (the path) and `time` (seconds), so that frames can be filtered and grouped.
    Frames are turned as the camera says.

    The video is decoded once, from its beginning to its end, and frames are held only until
    they are stored. A frame that shows the same as a stored one, pixel for pixel, is a
    duplicate. Of a video that is damaged or cut short, the frames that can be decoded are
    yielded, and then an outcome.

    Only this file is opened: playlists and other files that refer to further ones are refused.

    Args:
        path: The video; `~` is expanded.
        every: Seconds between two frames. By default 1, or with `scene_threshold` none.
        scene_threshold: Take a frame at each cut: wherever two consecutive frames differ by
            more than this, from 0 to 1. 0.3 finds hard cuts, as in FFmpeg's filter `select`,
            whose measure it is. With `every`, long scenes have further frames.
        metadata: Further metadata of all frames.

    Raises:
        ImageNotFoundError: There is no such file.
        InvalidArgumentError: An argument has a wrong type or value.
        UnsupportedImageError: It is a folder or a device, or belongs to an index that is open
            in this process.
        MissingExtraError: PyAV is not installed.

    Example:
        >>> engine.add_many(Video("holiday.mp4", every=5))
        >>> engine.search("beach.jpg", group_by="video")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every: float | None = None,
        scene_threshold: float | None = None,
        metadata: MetadataInput | None = None,
    ) -> None:
        self._every = optional(seconds, "every", every)
        self._threshold = optional(_share, "scene_threshold", scene_threshold)
        self._metadata = check_metadata(metadata)
        self._frames_of = _reader()
        self._path = source_file(path)

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield the frames, and an outcome if the video cannot be read to its end."""
        label = ""
        try:
            for frame in self._selected(self._frames_of(self._path)):
                previous, label = label, f"{frame.time:.3f}"
                if label != previous:
                    yield self._item(frame, f"{self._path}#t={label}")
        except ImageError as error:
            yield failure(self._path, error)

    def _item(self, frame: TimedFrame, uri: str) -> Item:
        known: MetadataInput = {"video": self._path, "time": round(frame.time, 3)}
        return Item(frame.image, uri=uri, metadata={**known, **self._metadata})

    def _selected(self, frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
        if self._threshold is None:
            return _regular(frames, self._every or _EVERY)
        return _at_cuts(frames, self._threshold, self._every or math.inf)


def _regular(frames: Iterable[TimedFrame], every: float) -> Iterator[TimedFrame]:
    """Yield the first frame of each interval of `every` seconds."""
    due = 0.0
    for frame in frames:
        if frame.time >= due - _ROUNDING:
            yield frame
            due = every * (math.floor((frame.time + _ROUNDING) / every) + 1)


def _at_cuts(frames: Iterable[TimedFrame], threshold: float, every: float) -> Iterator[TimedFrame]:
    """Yield the first frame of each scene, and one `every` seconds after the last one.

    The measure is FFmpeg's: how much a frame differs from the one before, in hundredths, or how
    much this changed if that is less, so that motion is no cut.
    """
    before: NDArray[np.int16] | None = None
    change, taken = 0.0, -math.inf
    for frame in frames:
        grey = frame.grey()
        last, change = change, 0.0 if before is None else float(np.abs(grey - before).mean())
        score = min(change, abs(change - last)) / 100
        before = grey
        if score > threshold or frame.time - taken >= every - _ROUNDING:
            taken = frame.time
            yield frame


def _share(name: str, value: float) -> float:
    return number(name, value, least=0, most=1)


def _reader() -> Callable[[str], Iterator[TimedFrame]]:
    try:
        from onnxsearch.indexing.sources.video_frames import frames_of
    except ImportError as error:
        raise MissingExtraError.for_package("av", extra="video") from error
    return frames_of
