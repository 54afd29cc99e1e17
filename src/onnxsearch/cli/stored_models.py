"""The models that a command names, out of those that the index remembers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from onnxsearch import Embedder, ModelDescription, SearchEngine, UnknownModelError
from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.augmented_spaces import is_augmented, model_below
from onnxsearch.cli.embedders import ModelOptions, comes_by_name, is_file, is_of_plugin
from onnxsearch.cli.options import check_indexed
from onnxsearch.embedders.onnx.embedder import CLASS_NAME
from onnxsearch.embedders.onnx.fingerprint import file_digest
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.locations import stored_models


class Searched(NamedTuple):
    """The models that a command searches with."""

    embedders: list[Embedder] | None
    """What to open the index with; None for what it remembers."""
    names: list[str] | None
    """Which of its models to search with; None if the options name none, or `embedders`."""

    @property
    def name(self) -> str | None:
        """The model to search with where one is enough; None for the first of the engine."""
        return self.names[0] if self.names else None


@contextmanager
def opened(
    options: ModelOptions, location: str, records: str | None, model_path: Sequence[str] | None
) -> Iterator[tuple[SearchEngine, Searched]]:
    """Open an index that exists, to search with the models that the options name.

    Args:
        options: The options of the command.
        location: Where the vectors are.
        records: Where the records are; None for a file at the location.
        model_path: Where models are that the index remembers elsewhere.

    Raises:
        InvalidArgumentError: There is no index, or an option does not fit the models.
        UnknownModelError: The index has no such model; to open it with one would add it.
        ModelError: A model cannot be loaded.
        StoreError: A store failed.
    """
    check_indexed(location, records)
    searched = _searched_models(options, location, records)
    with SearchEngine.open(
        location, embedders=searched.embedders, records=records, model_path=model_path
    ) as engine:
        yield engine, searched


def _searched_models(options: ModelOptions, location: str, records: str | None) -> Searched:
    """Return the models that the options name."""
    if not options.models:
        return Searched(options.embedders(), None)
    stored = stored_models(location, records, DEFAULT_NAMESPACE)
    known = {each.name for each in stored}
    names = [_stored_name(model, stored, options) for model in options.models]
    of_index = [name for name in names if name is not None]
    if len(of_index) == len(names):
        options.check_files([])
        return Searched(None, of_index)
    embedders = options.embedders() or []
    for embedder in embedders:
        # An index of an earlier version does not say what it has.
        if known and embedder.name not in known:
            raise _unknown(embedder.name, known)
    return Searched(embedders, None)


def _stored_name(
    model: str, stored: Sequence[ModelDescription], options: ModelOptions
) -> str | None:
    """Return the name of a model in the index; None if it is loaded as the options say."""
    if is_augmented(model) and model_below(model) in {each.name for each in stored}:
        return model
    if not is_file(model):
        known = {each.name: each for each in stored}
        # No class is imported because an index names it, but one that the user names is.
        is_own = model in known and known[model].class_name == CLASS_NAME
        if not is_own and is_of_plugin(model):
            return None
        if model in known:
            return model
        if stored or not comes_by_name(model):
            raise _unknown(model, known)
    elif not options.load_files:
        digest = file_digest(absolute_path(model, "--model")).hex()
        found = [each.name for each in stored if each.file and each.file.sha256 == digest]
        return found[0] if len(found) == 1 else None
    return None


def _unknown(model: str, known: Collection[str]) -> UnknownModelError:
    return UnknownModelError(
        f"the index has no model {model!r}: it has {', '.join(sorted(known)) or 'none'}. "
        "`onnxsearch index DIR --model ...` adds a model to an index"
    )
