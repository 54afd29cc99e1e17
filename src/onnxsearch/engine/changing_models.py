"""The part of the engine that lets models come and go while pictures stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxsearch.embedders.base import Embedder
from onnxsearch.engine.base import EngineBase
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.backfill import Backfill, check_complete
from onnxsearch.types import IndexReport

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink


class ChangingModels(EngineBase):
    """Adds, drops and replaces models."""

    def backfill(self, model: str, *, progress: ProgressSink = False) -> IndexReport:
        """Give stored pictures the vectors of a model that came after them.

        Only files that lack it are read; vectors of other models stay. A run that was
        stopped goes on where it ended.

        Args:
            model: Name of one of the engine's models.
            progress: True writes a line to standard error; a callable gets a
                `Progress` after each picture.

        Returns:
            A report with an outcome for each picture that lacked the model. Those whose
            file is gone or has changed, and those that never had one, are failures.

        Raises:
            UnknownModelError: There is no model of that name.
            StoreError: A store failed; what was stored until then stays.

        Example:
            >>> with SearchEngine.open("album", embedders=[old, resnet50]) as engine:
            ...     engine.backfill("resnet50", progress=True)
        """
        self._check_open()
        backfill = Backfill(
            self._catalog, self._embedder(model), self._workers, self._batch_size, self._reading
        )
        return backfill.run(progress)

    def drop_model(self, model: str) -> None:
        """Take a model out of the engine, with its vectors; pictures and records stay.

        It may be one that an earlier engine left behind. Writes of other processes
        that still use the model fail from then on.

        Raises:
            UnknownModelError: Neither the engine nor its stores know the model.
            InvalidArgumentError: It is the engine's only model.
            StoreError: A store failed; calling this again goes on, and so does the
                engine that opens next.
        """
        self._check_open()
        if (
            model not in self._embedders
            and self._catalog.collection(model) not in self._catalog.collections()
            and model not in self._catalog.recovery.dropped()
        ):
            self._embedder(model)
        if list(self._embedders) == [model]:
            raise InvalidArgumentError(
                f"{model!r} is the engine's only model: migrate() replaces it by another one"
            )
        self._embedders = {name: e for name, e in self._embedders.items() if name != model}
        self._catalog.drop(model)

    def migrate(
        self, old: str, new: str | Embedder, *, progress: ProgressSink = False
    ) -> IndexReport:
        """Replace a model by another one, while the old one serves.

        The new model's vectors are built beside the old ones (pictures added meanwhile
        get both), every picture is checked to have one, the engine switches, and the
        old vectors are dropped. If this is stopped before the switch, the old model goes
        on serving, and the next call finishes; if after it, the engine that opens next
        drops the old vectors. No other process should be writing: it knows the old model
        only.

        Args:
            old: Name of the model to replace.
            new: The model in its place: an embedder of another name, or the name of
                one that the engine has.
            progress: As in `backfill`.

        Returns:
            The report of `backfill`.

        Raises:
            ModelError: A picture cannot get a vector of the new model; nothing was
                dropped.
            UnknownModelError: There is no such model.
            InvalidArgumentError: Both are of one name.
            StoreError: A store failed.
        """
        self._check_open()
        name = new if isinstance(new, str) else new.name
        if name == old:
            raise InvalidArgumentError(
                f"both models are named {old!r}: give the new one another name, as in "
                "OnnxEmbedder(path, name='mine')"
            )
        if isinstance(new, Embedder) and name not in self._embedders:
            self._add_model(new, after=old)
        report = self.backfill(name, progress=progress)
        check_complete(self._catalog, name)
        self.drop_model(old)
        return report
