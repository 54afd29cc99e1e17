"""Copies: files that are not stored, since an image with the same bytes is.

    copies[hash of id] a note of such a file: its path, the hash of its bytes, size and time
    copied[content]    the hashes of the files with these bytes, comma-separated

What a note says counts. A hash whose note is gone, or names other bytes, is ignored, so that a
note can be deleted or replaced without its list. Indexes of earlier releases have no lists:
they are made when they are first needed, which `copied["complete"]` remembers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.keys import key_of
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.catalog.serialization import with_absolute_path, with_stored_path
from onnxsearch.errors import StoreUnavailableError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.vectors.base import is_key

if TYPE_CHECKING:
    from onnxsearch.catalog.root import Root
    from onnxsearch.catalog.root_cell import RootCell

_COMPLETE = "complete"
_LISTED = 10_000
"""Copies of one image that its list names, at most: 330 kB. Others keep their notes."""
_BATCH = 16
"""Notes written with one commit: as many of the longest lists fit into one."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that is not stored, since an image with the same bytes is."""

    uri: str
    """Absolute path of the file."""
    content: str
    """Hash of its bytes; see `Record.content`."""
    size: int
    modified_ns: int


class CopyIndex:
    """The copies of one namespace: by path, and by content.

    Args:
        metadata: Holds the tables.
        namespace: Prefix of the tables' names.
        root: What the stored paths are relative to.
    """

    def __init__(self, metadata: MetadataStore, namespace: str, root: RootCell) -> None:
        self._metadata = metadata
        self._root = root
        self.table = f"{namespace}:copies"
        self.lists_table = f"{namespace}:copied"
        self._complete = Cell(self.lists_table, _COMPLETE)

    def find(self, paths: Iterable[str]) -> dict[str, Copy]:
        """Return what is known of files that were not stored, by path."""
        root = self._root.read()
        wanted = {root.id_of(path): path for path in paths}
        cells = self._metadata.get_many(self.table, map(key_of, wanted))
        found = (decode_copy(data, root.absolute) for data in cells if data is not None)
        return {wanted[root.id_of(copy.uri)]: copy for copy in found if copy is not None}

    def of(self, contents: Iterable[str]) -> dict[str, list[Copy]]:
        """Return the copies by the hash of their bytes, in the order of their paths."""
        wanted = list(dict.fromkeys(contents))
        lists = self._lists(wanted)
        hashes = [hash for several in lists.values() for hash in several]
        absolute = self._root.absolute()
        notes = dict(zip(hashes, self._metadata.get_many(self.table, hashes), strict=True))
        found = {
            hash: decode_copy(data, absolute) for hash, data in notes.items() if data is not None
        }
        return {
            content: sorted(
                (c for hash in lists[content] if (c := found.get(hash)) and c.content == content),
                key=lambda copy: copy.uri,
            )
            for content in wanted
        }

    def all(self) -> Iterator[Copy]:
        """Yield every copy, in bounded memory."""
        items, absolute = self._metadata.items(self.table), self._root.absolute()
        found = (decode_copy(data, absolute) for _, data in items)
        return (copy for copy in found if copy is not None)

    def remember(self, copies: Iterable[Copy]) -> None:
        """Note files that were not stored, so that the next run need not read them."""
        root = self._root.read()
        for batch in batched(copies, _BATCH):
            notes = {self.cell(copy.uri, root): copy for copy in batch}
            writes = {cell: encode_copy(copy, root) for cell, copy in notes.items()}
            self._commit(writes, notes, add=True)

    def forget(self, copies: Iterable[Copy]) -> None:
        """Delete the notes of files."""
        root = self._root.read()
        for batch in batched(copies, _BATCH):
            notes = {self.cell(copy.uri, root): copy for copy in batch}
            self._commit(dict.fromkeys(notes), notes, add=False)

    def cell(self, path: str, root: Root) -> Cell:
        """Return where the note of a file is."""
        return Cell(self.table, key_of(root.id_of(path)))

    def unlist(self) -> None:
        """Have the lists made anew: the notes have other hashes now."""
        self._metadata.commit({self._complete: None})

    def _lists(self, contents: Sequence[str]) -> dict[str, list[str]]:
        """Return the hashes of the notes by content, without those that have none."""
        *lists, complete = self._metadata.get_many(self.lists_table, [*contents, _COMPLETE])
        if complete is None and self._metadata.count(self.table):
            # A store that cannot be written has the lists that it has.
            with suppress(StoreUnavailableError):
                self._list_all()
            lists = self._metadata.get_many(self.lists_table, contents)
        return {content: _hashes(data) for content, data in zip(contents, lists, strict=True)}

    def _list_all(self) -> None:
        root = self._root.read()
        for batch in batched(self.all(), _BATCH):
            self._commit({}, {self.cell(copy.uri, root): copy for copy in batch}, add=True)
        self._metadata.commit({self._complete: b""})

    def _commit(
        self, writes: Mapping[Cell, bytes | None], notes: Mapping[Cell, Copy], *, add: bool
    ) -> None:
        """Write notes, and take them onto the lists of their contents or off them."""
        hashes: dict[str, list[str]] = {}
        for cell, copy in notes.items():
            hashes.setdefault(copy.content, []).append(cell.key)
        for _ in attempts():
            lists = self._metadata.get_many(self.lists_table, list(hashes))
            expect: dict[Cell, bytes | None] = {}
            changed: dict[Cell, bytes | None] = {}
            for (content, own), data in zip(hashes.items(), lists, strict=True):
                cell, listed = Cell(self.lists_table, content), _hashes(data)
                listed = [hash for hash in listed if hash not in own]
                if add:
                    listed = self._with_room(listed, content, len(own)) + own[:_LISTED]
                expect[cell], changed[cell] = data, ",".join(listed).encode() or None
            if self._metadata.commit({**writes, **changed}, expect=expect):
                return
        raise contended()

    def _with_room(self, hashes: Sequence[str], content: str, wanted: int) -> list[str]:
        """Return the hashes of a list that has room for more; those without a note go first."""
        room = max(0, _LISTED - wanted)
        if len(hashes) <= room:
            return list(hashes)
        absolute = self._root.absolute()
        notes = zip(hashes, self._metadata.get_many(self.table, hashes), strict=True)
        copies = ((hash, decode_copy(data, absolute)) for hash, data in notes if data is not None)
        noted = [hash for hash, copy in copies if copy is not None and copy.content == content]
        return noted[:room]


def encode_copy(copy: Copy, root: Root) -> bytes:
    """Return the copy as JSON in ASCII; see `encode_record`."""
    values = with_stored_path(asdict(copy), root)
    return json.dumps(values, separators=(",", ":")).encode("ascii")


def decode_copy(data: bytes, absolute: Callable[[str], str | None]) -> Copy | None:
    """Return the copy that `encode_copy` wrote; None if something else wrote the bytes.

    A note that cannot be read costs no more than reading the file again.
    """
    try:
        copy = Copy(**with_absolute_path(json.loads(data), absolute))
    except (ValueError, TypeError):
        return None
    return copy if is_key(copy.content) and type(copy.uri) is str else None


def _hashes(data: bytes | None) -> list[str]:
    """Return the hashes that a list names; what is none is left out."""
    found: Collection[str] = () if data is None else data.decode("ascii", "replace").split(",")
    return [hash for hash in found if is_key(hash)]
