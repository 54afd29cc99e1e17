"""Writing the vectors of an augmented space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.threads import batched
from onnxsearch.augmentation.album import Album, Changes
from onnxsearch.augmentation.bounded_neighbours import nearest_of_all
from onnxsearch.augmentation.neighbours import complete
from onnxsearch.augmentation.transform import Rows, centre, move_all
from onnxsearch.catalog.augmented_spaces import AugmentedSpace
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.extension import extend
from onnxsearch.catalog.integrity import remove_orphans
from onnxsearch.catalog.keys import new_key
from onnxsearch.types import Progress

_BATCH = 1024
"""Vectors written at once: 5 MiB for 1,280 numbers, and half a MiB of records."""


@dataclass(frozen=True, slots=True)
class Filling:
    """Moves the images of an album whose neighbours have changed.

    Before anything is written, the space says that it is being written; afterwards, that it is
    done. So what a crash leaves is known, and the next call writes it anew.
    """

    catalog: Catalog
    space: AugmentedSpace
    album: Album
    """The vectors are centred in place."""
    changes: Changes

    def run(self, report: Callable[[Progress], None]) -> int | None:
        """Write what is missing or has changed; return the number of vectors.

        Returns:
            None if another engine changed the space meanwhile.
        """
        if not self._is_needed:
            return 0
        spaces, held = self.catalog.spaces, replace(self.space, writer=new_key())
        if not spaces.replace(self.space, held):
            return None
        vectors = centre(self.album.vectors, self.space.mean)
        compared = _Counter(report, 2 * len(self.changes.lacking), self.space.name)
        changed = self._compare(vectors, compared.add)
        places = np.union1d(changed, np.flatnonzero(~self.album.listed))
        written = _Counter(report, compared.done + len(places), self.space.name, compared.done)
        for batch in batched(places.tolist(), _BATCH):
            self._write(np.array(batch, np.intp))
            written.add(len(batch))
        if self.space.writer is not None or not self.album.listed.all():
            remove_orphans(self.catalog, self.space.name)
        return len(places) if self._finish(held) else None

    def _compare(self, vectors: Rows, compared: Callable[[int], None]) -> NDArray[np.intp]:
        """Find the neighbours that are not known; return the images whose neighbours changed."""
        changes = self.changes
        if not changes.is_all:
            return complete(changes.found, vectors, changes.lacking, changes.fresh, compared)
        nearest_of_all(changes.found, vectors, compared)
        return changes.lacking

    @property
    def _is_needed(self) -> bool:
        is_whole = self.space.is_ready and self.space.writer is None
        changed = len(self.changes.lacking) or self.changes.removed
        return bool(changed or not is_whole or not self.album.listed.all())

    def _write(self, places: NDArray[np.intp]) -> None:
        rows = move_all(self.album.vectors, self.changes.found, places, self.space.alpha)
        keys = [self.album.keys[place] for place in places]
        extend(self.catalog, self.space.name, dict(zip(keys, rows, strict=True)))

    def _finish(self, held: AugmentedSpace) -> bool:
        """Say that all is written; return False if another engine is writing by now."""
        spaces, before = self.catalog.spaces, self.changes
        graph, parts = spaces.write_graph(self.space.model, self.album.encoded(before.found))
        number = 0 if before.is_all else before.added + before.removed
        done = replace(
            held, graph=graph, parts=parts, writer=None, changes=self.space.changes + number
        )
        if not spaces.replace(held, done):
            return False
        spaces.forget_graphs(done)
        return True


@dataclass(slots=True)
class _Counter:
    """Counts what is done, and reports it."""

    report: Callable[[Progress], None]
    total: int
    name: str
    done: int = 0

    def add(self, number: int) -> None:
        """Report that more is done."""
        self.done += number
        self.report(Progress(self.done, self.total, self.name))
