"""The root of a namespace, as the metadata store remembers it.

    identity["root"]   the folder's absolute path; and where the records are in a file, the
                       path from the folder of that file to the root

An index and its album that move together are therefore found without an argument. Which
of the two paths leads to the album is seen from the files that are stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import TypeAlias

from onnxsearch.catalog.keys import unreadable_cell
from onnxsearch.catalog.root import NO_ROOT, Root
from onnxsearch.catalog.serialization import decode_record
from onnxsearch.errors import StoreCorruptError
from onnxsearch.metadata.base import Cell, MetadataStore

_SEARCHED = 1000
_SAMPLE = 32
"""Records read, and files looked for, to see whether a folder is the album: one file of the
same name and size may be there by accident, and 32 are not."""

Sample: TypeAlias = "Sequence[tuple[str, int | None]]"
"""Stored paths, with the sizes of the files."""


@dataclass(frozen=True, slots=True)
class RememberedRoot:
    """What the cell holds."""

    path: str
    """Absolute path of the root."""
    folder: str | None
    """The folder of the records' file when this was written, symbolic links resolved."""
    relative: str | None
    """Path from that folder to the root, with `/` between names; None on another drive."""
    settled: bool = False
    """Whether all files below the root are stored by their paths relative to it."""


class RootCell:
    """Reads and writes the root of a namespace.

    Args:
        metadata: Holds the cell and the records.
        cell: Where the root is remembered.
        records_table: Table of the records.
    """

    def __init__(self, metadata: MetadataStore, cell: Cell, records_table: str) -> None:
        self._metadata, self.cell, self._records_table = metadata, cell, records_table
        self._known: tuple[bytes, Root] | None = None

    def read(self) -> Root:
        """Return the root as it is now; `NO_ROOT` if the namespace has none.

        Raises:
            StoreCorruptError: The cell cannot be read.
            StoreError: The store failed.
        """
        data = self.stored()
        if data is None:
            return NO_ROOT
        if self._known is None or self._known[0] != data:
            self._known = data, Root.at(self._find(decode_root(data)))
        return self._known[1]

    def absolute(self) -> Callable[[str], str | None]:
        """Return `Root.absolute` of the root; it is read when first needed, and once."""
        read = cache(self.read)
        return lambda relative: read().absolute(relative)

    def stored(self) -> bytes | None:
        """Return what the cell holds, for `write` to expect."""
        return self._metadata.get(*self.cell)

    def write(self, path: str, *, settled: bool, expect: bytes | None) -> bool:
        """Remember a root, if the cell holds what is expected; return whether it did."""
        folder = self._folder()
        relative: str | None = None
        if folder is not None:
            with suppress(ValueError):  # on Windows: another drive
                relative = os.path.relpath(os.path.realpath(path), folder).replace(os.sep, "/")
        data = encode_root(RememberedRoot(path, folder, relative, settled))
        return data == expect or self._metadata.commit(
            {self.cell: data}, expect={self.cell: expect}
        )

    def sample(self) -> Sample:
        """Return some of the files that are stored relative to the root."""
        sample: list[tuple[str, int | None]] = []
        for _, data in islice(self._metadata.items(self._records_table), _SEARCHED):
            below: list[str] = []
            with suppress(StoreCorruptError):
                size = decode_record(data, below.append).size
                sample += [(path, size) for path in below]
        return sample[:_SAMPLE]

    def _folder(self) -> str | None:
        folder = self._metadata.folder
        return None if folder is None else os.path.realpath(folder)

    def _find(self, remembered: RememberedRoot) -> str:
        """Return where the root is now, if its index has moved."""
        here, path = self._folder(), remembered.path
        if None in (here, remembered.folder, remembered.relative) or here == remembered.folder:
            return path
        moved = os.path.normpath(os.path.join(str(here), str(remembered.relative)))
        sample = self.sample()
        # An index inside its album moves with it, even if all files are gone.
        least = 0 if set(str(remembered.relative).split("/")) <= {".", ".."} else 1
        return moved if number_in(moved, sample) >= max(number_in(path, sample), least) else path


def number_in(folder: str, sample: Sample) -> int:
    """Return how many of the stored files are in a folder: those of the same name and size."""
    root, number = Root(folder), 0
    for relative, size in sample:
        with suppress(OSError, ValueError):
            number += os.stat(str(root.absolute(relative))).st_size == size
    return number


def encode_root(root: RememberedRoot) -> bytes:
    """Return what the cell holds as JSON in ASCII."""
    return json.dumps(asdict(root), separators=(",", ":")).encode("ascii")


def decode_root(data: bytes) -> RememberedRoot:
    """Return what `encode_root` wrote.

    Raises:
        StoreCorruptError: Something else wrote the bytes.
    """
    try:
        root = RememberedRoot(**json.loads(data))
        os.fsencode(root.path)
        os.path.join(root.path, root.folder or "", root.relative or "")
    except (ValueError, TypeError, AttributeError) as error:
        raise unreadable_cell(data, "the root of an index") from error
    return root
