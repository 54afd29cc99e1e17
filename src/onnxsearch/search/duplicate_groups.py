"""Groups of near-duplicates, and what to do with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, SupportsIndex, overload

from onnxsearch._internal.progress import ProgressSink, reporter
from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch.reporting.decisions import Decision, decisions_csv, decisions_json
from onnxsearch.search.keep_suggestion import DuplicateImage, KeepSuggestion, suggest
from onnxsearch.types import JSONValue, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from onnxsearch.search.duplicate_images import DuplicateReader, ReadDuplicate

_MOST_OF_A_GROUP = 200
"""Images of a group on a page, at most: who asks for a smaller distance gets smaller groups."""
_THUMBNAILS = ((500, 320), (1500, 240), (4000, 144), (6000, 112))
"""Pixels of a thumbnail by the number of images on a page, so that no page is much larger than
40 MB; with more images the page shows the first groups."""


class DuplicateGroups(list[tuple[str, ...]]):
    """Groups of near-duplicates: ids, or for exact copies paths, the largest group first.

    It is a list of tuples, which may be changed, and its slices are groups too. Pickled or copied,
    it is a plain list. The methods read the files of the images as they are now, and their
    records from the engine, which has to be open.

    Example:
        >>> groups = engine.duplicates(max_distance=0.25)
        >>> groups.to_html("duplicates.html")
        >>> groups[:10].suggestions().to_csv("suggestions.csv")
    """

    def __init__(self, groups: Iterable[tuple[str, ...]], reader: DuplicateReader) -> None:
        super().__init__(groups)
        self._reader = reader

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice, /) -> DuplicateGroups: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> tuple[str, ...] | DuplicateGroups:
        if isinstance(index, slice):
            return DuplicateGroups(super().__getitem__(index), self._reader)
        return super().__getitem__(index)

    def __reduce__(self) -> tuple[type[list[tuple[str, ...]]], tuple[list[tuple[str, ...]]]]:
        # The stores of the records stay in their process: what is pickled is the list alone.
        return list, (list(self),)

    def suggestions(self, *, progress: ProgressSink = False) -> KeepSuggestions:
        """Return which image of each group to keep, and why.

        Every file is read once; nothing is changed.

        Args:
            progress: True shows it on standard error; a function receives a `Progress` with the
                number of images that have been read.

        Raises:
            ClosedError: The engine was closed.
            StoreError: A store failed.

        Example:
            >>> for each in engine.duplicates(max_distance=0.25).suggestions():
            ...     print("keep", each.keep, "because it is", each.reason)
        """
        read = self._read(self, 1, reporter(progress))
        return KeepSuggestions(
            tuple(
                suggest(number, [each.image for each in images])
                for number, images in enumerate(read, 1)
            )
        )

    def to_html(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> Path:
        """Write a page to review the groups in a browser, and return its path.

        The images of a group are side by side, with their sizes, dates and sharpness, and the
        one to keep is suggested (`KeepSuggestion`). Keys or the mouse decide which to keep and
        which to remove; the decisions survive a reload, and are exported as JSON or CSV. The
        page deletes nothing, contains everything it needs, thumbnails included, and fetches
        nothing. An existing file is replaced when the new page is whole.

        It shows at most 6,000 images, and 200 of a group, with smaller thumbnails if there are
        many, so that it stays below some 40 MB. It says how many groups it leaves out:
        `groups[n:].to_html(...)` shows those after the first n.

        Args:
            path: The file.
            progress: As for `suggestions`.

        Raises:
            InvalidArgumentError: The file cannot be written there.
            ClosedError: The engine was closed.
            StoreError: A store failed.
        """
        from onnxsearch.reporting.html_page import write_page
        from onnxsearch.reporting.review_page import review_page
        from onnxsearch.search.review_rows import as_group

        shown, thumbnail = self._shown()
        cut = [group[:_MOST_OF_A_GROUP] for group in shown]
        read = self._read(cut, thumbnail, reporter(progress))
        groups = (
            as_group(number, images, len(group) - len(images))
            for number, (group, images) in enumerate(zip(shown, read, strict=True), 1)
        )
        return write_page(path, review_page(groups, len(self)))

    def _shown(self) -> tuple[list[tuple[str, ...]], int]:
        """Return the groups that fit on a page, and the pixels of a thumbnail."""
        most, total, number = _THUMBNAILS[-1][0], 0, 0
        for group in self:
            if total + len(group[:_MOST_OF_A_GROUP]) > most:
                break
            total, number = total + len(group[:_MOST_OF_A_GROUP]), number + 1
        pixels = next(pixels for images, pixels in _THUMBNAILS if total <= images)
        return list(self)[:number], pixels

    def _read(
        self, groups: Sequence[Sequence[str]], thumbnail: int, report: Callable[[Progress], None]
    ) -> Iterator[list[ReadDuplicate]]:
        done, total = 0, sum(map(len, groups))
        for images in self._reader.read(groups, thumbnail):
            yield images
            done += len(images)
            report(Progress(done, total))


@dataclass(frozen=True, slots=True, repr=False)
class KeepSuggestions(Sequence[KeepSuggestion], Tabular):
    """Result of `DuplicateGroups.suggestions`: a `KeepSuggestion` for each group."""

    suggestions: tuple[KeepSuggestion, ...]

    _columns: ClassVar[Mapping[str, str]] = {
        "group": "int",
        "decision": "str",
        "reason": "str",
        **columns_of(DuplicateImage),
    }

    @overload
    def __getitem__(self, index: int) -> KeepSuggestion: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[KeepSuggestion, ...]: ...
    def __getitem__(self, index: int | slice) -> KeepSuggestion | tuple[KeepSuggestion, ...]:
        return self.suggestions[index]

    def __len__(self) -> int:
        return len(self.suggestions)

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each image of each group.

        The fields are `group`, `decision` (`keep`, `remove`, or in a group without a suggestion
        `undecided`), the `reason`, and those of `DuplicateImage`.
        """
        return [
            {
                "group": each.group,
                "decision": each.decision(image),
                "reason": each.reason,
                **row(image),
            }
            for each in self.suggestions
            for image in each.images
        ]

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write the suggestions as the page of `to_html` exports decisions, and return the path.

        Args:
            path: The file. An existing one is replaced when the new one is whole.

        Raises:
            InvalidArgumentError: The file cannot be written there.
        """
        from onnxsearch.reporting.html_page import write_page

        return write_page(path, decisions_json(self._decisions()))

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the suggestions as the page of `to_html` exports decisions, and return the path.

        Args:
            path: As for `to_json`.

        Raises:
            InvalidArgumentError: The file cannot be written there.
        """
        from onnxsearch.reporting.html_page import write_page

        return write_page(path, decisions_csv(self._decisions()))

    def _decisions(self) -> Iterator[Decision]:
        for each in self.suggestions:
            for image in each.images:
                yield Decision(each.group, image.id, image.path, each.decision(image))

    def __repr__(self) -> str:
        made = sum(each.keep is not None for each in self.suggestions)
        return f"<KeepSuggestions for {made} of {len(self)} groups>"
