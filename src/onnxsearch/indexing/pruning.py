"""Removal of images whose files are gone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import COMMIT, record_batches
from onnxsearch.catalog.catalog import Catalog, Move, NewImage
from onnxsearch.catalog.copies import Copy
from onnxsearch.catalog.records import StoredImage
from onnxsearch.catalog.root import Root
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.twins import is_gone, shows_copy
from onnxsearch.types import Outcome, Record, Status

_MOUNTS = frozenset({"/media", "/mnt", "/run/media", "/Volumes"})
"""Where operating systems mount drives, and remove the folders of drives that are not."""

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
        An outcome for each image that was removed, or moved to the path of an exact copy.

    Raises:
        InvalidArgumentError: A folder that held images holds none any more, as a drive that
            is not mounted does. Nothing was removed.
        StoreError: A store failed.
    """
    inside = os.path.join(folder, "")
    gone = [
        stored
        for stored in catalog.records.images()
        if stored.record.file is not None
        and stored.record.file.startswith(inside)
        and is_gone(stored.record.file)
    ]
    if not allow_empty:
        _check_not_emptied(folder, gone, met)
    removed = _remove(catalog, gone)
    for batch in batched(catalog.records.copies.all(), COMMIT):
        copies = [copy for copy in batch if copy.uri.startswith(inside) and is_gone(copy.uri)]
        catalog.records.copies.forget(copies)
    return removed


def remove_gone(catalog: Catalog, paths: Iterable[str]) -> list[Outcome] | None:
    """Remove the images of files that are known to be gone, whatever their folders hold.

    Args:
        catalog: Where the images are stored.
        paths: Absolute paths at which there is no file.

    Returns:
        An outcome for each image that was removed; None, and nothing is removed, if it is not
        known what one of the paths was: a folder, or a file that was never stored.

    Raises:
        StoreError: A store failed.
    """
    root = catalog.records.root.read()
    ids = {root.id_of(path): path for path in paths}
    found = catalog.records.find(ids)
    gone = [s for id, s in found.items() if root.id_of(str(s.record.file)) == id]
    copies = catalog.records.copies.find(path for id, path in ids.items() if id not in found)
    if len(gone) + len(copies) < len(ids):
        return None
    removed = _remove(catalog, gone)
    catalog.records.copies.forget(copies.values())
    return removed


def _remove(catalog: Catalog, gone: Sequence[StoredImage]) -> list[Outcome]:
    """Remove images whose files are gone; return an outcome for each."""
    removed: dict[str, str] = {}
    moved: list[Outcome] = []
    for group in batched(gone, COMMIT):
        moved += _move_to_copies(catalog, group)
        _hand_metadata_on(catalog, group)
        paths = {stored.record.id: str(stored.record.uri) for stored in group}
        removed |= {id: paths[id] for id in catalog.discard(group)}
    return [Outcome(path, Status.REMOVED, id=id) for id, path in removed.items()] + moved


def _move_to_copies(catalog: Catalog, gone: Sequence[StoredImage]) -> list[Outcome]:
    """Give images whose files are gone the paths of copies elsewhere; return the outcomes."""
    by_content = {str(s.record.content): s for s in gone if s.record.content is not None}
    copies = catalog.records.copies.of(by_content)
    stored = catalog.records.with_contents(content for content in by_content if copies[content])
    root, keys = catalog.records.root.read(), {each.key for each in gone}
    moves: list[Move] = []
    for content, images in stored.items():
        # Another image that shows the same has the copies too.
        if all(each.key in keys for each in images):
            former = by_content[content]
            place = next((copy for copy in copies[content] if shows_copy(copy)), None)
            if place is not None:
                moves.append(Move(NewImage(_at(place, former.record, root), {}), former))
    skipped = catalog.move(moves)
    outcomes: list[Outcome] = []
    for before, now in ((m.former.record, m.item.record) for m in moves):
        if now.id not in skipped:
            outcomes.append(Outcome(str(before.uri), Status.REMOVED, id=before.id))
            outcomes.append(Outcome(str(now.uri), Status.MOVED, id=now.id))
    return outcomes


def _at(copy: Copy, record: Record, root: Root) -> Record:
    """Return a record with the path of a copy. An id that the caller chose stays."""
    id = root.id_of(copy.uri) if root.gave_id(record) else record.id
    return replace(
        record, id=id, uri=copy.uri, size=copy.size, modified_ns=copy.modified_ns, paths=()
    )


def _hand_metadata_on(catalog: Catalog, gone: Sequence[StoredImage]) -> None:
    """Give the metadata of images that go to stored images of the same bytes that have none.

    Such a file may be the one that is gone, renamed over its copy.
    """
    described = [s for s in gone if s.record.metadata and s.record.content is not None]
    keys = {stored.key for stored in gone}
    same = catalog.records.with_contents(str(s.record.content) for s in described)
    heirs: dict[str, NewImage] = {}
    for stored in described:
        others = [s for s in same[str(stored.record.content)] if s.key not in keys]
        if others and not any(other.record.metadata for other in others):
            record = replace(others[0].record, metadata=stored.record.metadata)
            heirs.setdefault(record.id, NewImage(record, {}, amends=others[0].key))
    for items in record_batches(heirs.values()):
        catalog.amend(items)


def _check_not_emptied(folder: str, gone: Iterable[StoredImage], met: Iterable[Outcome]) -> None:
    """Raise if a folder holds no image any more, or may have lost a drive."""
    filled = {parent for o in met if o.status not in _NO_FILES for parent in _folders(o.uri)}
    numbers = Counter(os.path.dirname(stored.record.file or "") for stored in gone)
    emptied: Counter[str] = Counter()
    for place, number in numbers.items():
        left = next((each for each in (place, *_folders(place)) if not is_gone(each)), folder)
        if left not in filled:
            emptied[left] += number
        elif left != place and _holds_drives(left):
            emptied[place] += number
    for place, number in emptied.most_common(1):
        raise InvalidArgumentError(
            f"folder {place!r} held {number} images that are stored, and now they are gone, as "
            "if a drive were not mounted: nothing was removed. Mount it, or pass "
            "allow_empty=True to remove them"
        )


def _holds_drives(folder: str) -> bool:
    """Return whether a folder that is gone from `folder` may be that of a drive."""
    of_a_user = os.path.dirname(folder) in _MOUNTS and not os.path.ismount(folder)
    if folder in _MOUNTS or of_a_user:
        return True
    with os.scandir(folder) as entries:
        return any(os.path.ismount(entry.path) for entry in entries)


def _folders(path: str) -> Iterable[str]:
    """Yield the folders that a path is in, the innermost first."""
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
