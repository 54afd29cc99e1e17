"""The part of the engine that checks its stores and moves house."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onnxsearch._internal.paths import target_path
from onnxsearch.catalog.integrity import verify
from onnxsearch.catalog.integrity_report import VerifyReport
from onnxsearch.catalog.snapshot import Snapshot, save_snapshot
from onnxsearch.catalog.transfer import CatalogSource, TransferReport, transfer
from onnxsearch.engine.base import EngineBase
from onnxsearch.errors import InvalidArgumentError

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.engine.facade import SearchEngine


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
            StoreCorruptError: A journal entry, or the key of a vector, cannot be read.
            StoreError: A store failed.
        """
        self._check_open()
        report = verify(self._catalog, repair=repair)
        if repair:
            self._ensure_collections()
        return report

    def copy_to(self, other: SearchEngine, *, progress: ProgressSink = False) -> TransferReport:
        """Copy all pictures into another engine, on whatever stores: no model runs.

        Pictures of `other` with the same id are replaced, all else stays. Where such a
        picture is known to be the same (by `Record.content`, or without one by equal
        vectors), it keeps its vectors of models that are not here. What is there already
        and equal is passed over, so a copy that was stopped goes on where it ended. Takes
        bounded memory.

        Models that `other` has and this engine has not find the new pictures after
        `other.backfill(model)`.

        Args:
            other: Where to.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each 256 pictures.

        Raises:
            InvalidArgumentError: `other` is no engine, or has the same pictures: its
                metadata store and namespace are this engine's.
            UnknownModelError: `other` has none of the models whose vectors are here.
            SpaceMismatchError: `other` has vectors of another space under the name of
                one of the models. Like the errors above, it comes before anything is
                written.
            StoreError: A store failed; what was copied until then stays.

        Example:
            >>> with SearchEngine.open("album") as here:
            ...     with SearchEngine.open("http://milvus:19530", metadata=redis_url) as there:
            ...         here.copy_to(there, progress=True)
        """
        self._check_open()
        if not isinstance(other, Upkeep):
            raise InvalidArgumentError(
                f"cannot copy to {other!r:.80}: expected a SearchEngine, as SearchEngine.open() "
                "gives"
            )
        other._check_open()  # noqa: SLF001, it is of this class
        here, there = self._catalog, other._catalog  # noqa: SLF001
        if (
            here.metadata is there.metadata
            and here.records.records_table == there.records.records_table
        ):
            raise InvalidArgumentError(
                "cannot copy an engine to itself: both have the same metadata store and namespace"
            )
        return transfer(CatalogSource(here), there, other.models, progress)

    def save_snapshot(self, path: str | os.PathLike[str], *, progress: ProgressSink = False) -> int:
        """Write all pictures, records and vectors, to one portable file; return how many.

        A picture that is replaced meanwhile is in it as it was or as it is, but whole.

        Args:
            path: The file, a zip; an existing one is replaced when the new one is whole
                and on disk. Until then it is written beside it, to a file that ends in
                ".part", which a killed process leaves behind.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is no path, or a folder's.
            StoreError: The file cannot be written, or a store failed.
        """
        self._check_open()
        return save_snapshot(CatalogSource(self._catalog), target_path(path), progress)

    def load_snapshot(
        self, path: str | os.PathLike[str], *, progress: ProgressSink = False
    ) -> TransferReport:
        """Store the pictures of a snapshot, as `copy_to` would have; no model runs.

        The file may come from anybody: whatever it holds, the worst is an error.

        Args:
            path: A file that `save_snapshot` wrote.
            progress: As for `copy_to`.

        Raises:
            InvalidArgumentError: `path` is no path.
            UnknownModelError: It has vectors, but none of a model of this engine.
            StoreCorruptError: It is no snapshot, or damaged, or of a later version.
            SpaceMismatchError: Its vectors are of another model, profile or output.
            StoreError: It cannot be read, or a store failed.
        """
        self._check_open()
        with Snapshot(target_path(path)) as snapshot:
            return transfer(snapshot, self._catalog, self.models, progress)
