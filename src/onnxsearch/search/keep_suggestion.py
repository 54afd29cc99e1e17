"""Which image of a group of duplicates to keep, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

_AS_SHARP = 0.9
"""Images that reach this share of the greatest sharpness are as sharp: another compression of
the same image changes it by a few hundredths."""


@dataclass(frozen=True, slots=True)
class DuplicateImage:
    """One image of a group of duplicates, and what its file says."""

    id: str
    """The id, or of an exact copy that is not stored the path."""
    path: str | None = None
    """Absolute path of the file; None for an image that has none."""
    width: int | None = None
    """Pixels of the upright image; None if it cannot be read."""
    height: int | None = None
    file_size: int | None = None
    """Bytes."""
    taken: str | None = None
    """Local time of the camera, as `exif` gives it."""
    modified: float | None = None
    """Time of the file's last change, in seconds since 1970."""
    sharpness: float | None = None
    """Variance of the Laplacian, for levels from 0 to 255, measured with the longer side at 512
    pixels; None if the image cannot be read."""
    is_copy: bool = False
    """Whether it is an exact copy of a stored image, and not stored itself."""

    @property
    def pixels(self) -> int:
        """Width times height; 0 if the image cannot be read."""
        return (self.width or 0) * (self.height or 0)


@dataclass(frozen=True, slots=True)
class KeepSuggestion:
    """Which image of a group to keep.

    Of all images that can be read, those with the most pixels are looked at; of these the
    sharpest, down to nine tenths of the greatest sharpness; of these the oldest, by the time of
    the camera or, where none has one, of the file; of these the largest files; of these the
    stored ones, not exact copies of them; and of these the first by name.
    """

    group: int
    """The number of the group, from 1."""
    images: tuple[DuplicateImage, ...] = field(repr=False)
    keep: str | None
    """The id of the image to keep; None if no image of the group can be read."""
    reason: str
    """In words, what only it has: `"largest, sharpest"`."""

    def decision(self, image: DuplicateImage) -> str:
        """Return `keep` or `remove` for an image of the group, `undecided` without a suggestion."""
        if self.keep is None:
            return "undecided"
        return "keep" if image.id == self.keep else "remove"


_Images: TypeAlias = Sequence[DuplicateImage]


def _largest(images: _Images) -> list[DuplicateImage]:
    return _greatest(images, lambda image: image.pixels)


def _sharpest(images: _Images) -> list[DuplicateImage]:
    border = _AS_SHARP * max(image.sharpness or 0.0 for image in images)
    return [image for image in images if (image.sharpness or 0.0) >= border]


def _oldest(images: _Images) -> list[DuplicateImage]:
    # The clocks of cameras and of file systems are not compared with each other.
    taken = [image for image in images if image.taken is not None]
    if taken:
        first = min(image.taken or "" for image in taken)
        return [image for image in taken if image.taken == first]
    dated = [image for image in images if image.modified is not None]
    return _greatest(dated, lambda image: -(image.modified or 0.0)) or list(images)


def _most_bytes(images: _Images) -> list[DuplicateImage]:
    return _greatest(images, lambda image: image.file_size or 0)


def _stored(images: _Images) -> list[DuplicateImage]:
    return _greatest(images, lambda image: not image.is_copy)


_RULES: tuple[tuple[str, Callable[[_Images], list[DuplicateImage]]], ...] = (
    ("largest", _largest),
    ("sharpest", _sharpest),
    ("oldest", _oldest),
    ("largest file", _most_bytes),
    ("stored in the index", _stored),
)
"""The rules in their order, and how a reason calls each that made a difference."""


def suggest(group: int, images: Sequence[DuplicateImage]) -> KeepSuggestion:
    """Choose the image to keep; see `KeepSuggestion` for the rules."""
    left = [image for image in images if image.pixels]
    if not left:
        return KeepSuggestion(group, tuple(images), None, "no image can be read")
    reasons = [] if len(left) == len(images) else ["readable"]
    for name, rule in _RULES:
        best = rule(left)
        if len(best) < len(left):
            reasons.append(name)
        left = best
    first = min(left, key=lambda image: image.id)
    return KeepSuggestion(
        group, tuple(images), first.id, ", ".join(reasons) or "first by name, otherwise equal"
    )


def _greatest(images: _Images, value: Callable[[DuplicateImage], float]) -> list[DuplicateImage]:
    greatest = max(map(value, images), default=0.0)
    return [image for image in images if value(image) == greatest]
