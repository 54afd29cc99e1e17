"""The part of the engine that checks its stores and moves house."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from onnxsearch.engine.base import EngineBase
from onnxsearch.records import absolute
from onnxsearch.snapshot import Snapshot, save_snapshot
from onnxsearch.transfer import CatalogSource, TransferReport, transfer
from onnxsearch.verification import VerifyReport, verify

if TYPE_CHECKING:
    from onnxsearch.engine.facade import SearchEngine
    from onnxsearch.progress import ProgressSink


class Upkeep(EngineBase):
    """Verifies, copies, and takes snapshots."""

    def verify(self, *, repair: bool = False) -> VerifyReport:
        """Check every vector against the records, and every record against the vectors.

        What a crash leaves behind is put right when an engine is made. This is for what
        that cannot know of: a store that lost writes, a backup of only one of the two,
        a collection that was dropped. It takes bounded memory, and the engine may be
        in use meanwhile, here and elsewhere.

        Args:
            repair: Also mend what is wrong, as `Defect` tells.

        Returns:
            A report with `.ok`, counts, and each defect found.

        Raises:
            StoreCorruptError: A record cannot be read.
            StoreError: A store failed.
        """
        self._check_open()
        return verify(self._catalog, repair=repair)

    def copy_to(self, other: SearchEngine, *, progress: ProgressSink = False) -> TransferReport:
        """Copy all pictures into another engine, on whatever stores: no model runs.

        Pictures of `other` with the same id are replaced, all else stays. What is there
        already and equal is passed over, so a copy that was stopped goes on where it
        ended. Takes bounded memory.

        Args:
            other: Where to.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each 256 pictures.

        Raises:
            SpaceMismatchError: `other` has vectors of another space under the name of
                one of the models.
            StoreError: A store failed; what was copied until then stays.

        Example:
            >>> with SearchEngine.open("album") as here:
            ...     with SearchEngine.open("http://milvus:19530", metadata=redis_url) as there:
            ...         here.copy_to(there, progress=True)
        """
        self._check_open()
        other._check_open()  # noqa: SLF001, it is of this class
        return transfer(CatalogSource(self._catalog), other._catalog, progress)  # noqa: SLF001

    def save_snapshot(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> int:
        """Write all pictures, records and vectors, to one portable file; return how many.

        A picture that is replaced meanwhile is in it as it was or as it is, but whole.

        Args:
            path: The file, a zip; an existing one is replaced when the new one is whole.
            progress: As for `copy_to`.

        Raises:
            StoreError: The file cannot be written, or a store failed.
        """
        self._check_open()
        return save_snapshot(CatalogSource(self._catalog), Path(absolute(path)), progress)

    def load_snapshot(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the pictures of a snapshot, as `copy_to` would have; no model runs.

        The file may come from anybody: whatever it holds, the worst is an error.

        Args:
            path: A file that `save_snapshot` wrote.
            progress: As for `copy_to`.

        Raises:
            StoreCorruptError: It is no snapshot, or damaged, or of a later version.
            SpaceMismatchError: Its vectors are of another model, profile or output.
            StoreError: It cannot be read, or a store failed.
        """
        self._check_open()
        with Snapshot(Path(absolute(path))) as snapshot:
            return transfer(snapshot, self._catalog, progress)
