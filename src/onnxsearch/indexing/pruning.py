"""Removal of images whose files are gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import COMMIT
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.records import StoredImage
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.twins import is_gone
from onnxsearch.types import Outcome, Status

_NO_FILES = frozenset({Status.SKIPPED, Status.MISSING, Status.REMOVED})


def prune(
    catalog: Catalog, folder: str, met: Sequence[Outcome], *, allow_empty: bool
) -> list[Outcome]:
    """Remove the images below `folder` whose files are gone.

    Args:
        catalog: Where the images are stored.
        folder: Absolute path of the folder that was walked.
        met: The outcomes of the walk.
        allow_empty: Also remove all images of a folder in which no file is left.

    Returns:
        An outcome for each image that was removed.

    Raises:
        InvalidArgumentError: A folder that held images holds none any more, as a drive that
            is not mounted does. Nothing was removed.
        StoreError: A store failed.
    """
    inside = os.path.join(folder, "")
    gone = [
        stored
        for stored in catalog.records.images()
        if stored.record.uri is not None
        and stored.record.uri.startswith(inside)
        and is_gone(stored.record.uri)
    ]
    if not allow_empty:
        _check_not_emptied(folder, gone, met)
    removed = [id for batch in batched(gone, COMMIT) for id in catalog.discard(batch)]
    for batch in batched(catalog.records.all_copies(), COMMIT):
        copies = [copy for copy in batch if copy.uri.startswith(inside) and is_gone(copy.uri)]
        catalog.records.forget(copies)
    return [Outcome(id, Status.REMOVED, id=id) for id in dict.fromkeys(removed)]


def _check_not_emptied(folder: str, gone: Iterable[StoredImage], met: Iterable[Outcome]) -> None:
    """Raise if all images of a folder are gone, with all else that was in it."""
    filled = {folder_ for o in met if o.status not in _NO_FILES for folder_ in _folders(o.uri)}
    emptied: dict[str, int] = {}
    for stored in gone:
        place = next(each for each in _folders(stored.record.uri or "") if not is_gone(each))
        if place not in filled:
            emptied[place] = emptied.get(place, 0) + 1
    if emptied:
        place, number = next(iter(emptied.items()))
        raise InvalidArgumentError(
            f"folder {place!r} held {number} images that are stored, and now holds none, as if "
            "a drive were not mounted: nothing was removed. Mount it, or pass allow_empty=True "
            "to remove them"
        )


def _folders(path: str) -> Iterable[str]:
    """Yield the folders that a path is in, the innermost first."""
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
