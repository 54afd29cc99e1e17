"""The models that a command opens an index with: those it names, and those of the index."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from onnxsearch import (
    Embedder,
    ModelDescription,
    OnnxEmbedder,
    SearchEngine,
    UnknownModelError,
)
from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.augmented_spaces import is_augmented, model_below
from onnxsearch.cli import output
from onnxsearch.cli.embedders import ModelOptions, comes_by_name, is_file, is_of_plugin
from onnxsearch.cli.options import check_indexed
from onnxsearch.embedders.description import REGIONS
from onnxsearch.embedders.onnx.embedder import CLASS_NAME
from onnxsearch.embedders.onnx.fingerprint import file_digest
from onnxsearch.embedders.regions import model_of_regions, regions_of
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.locations import make_embedders, missing_files, model_places, stored_models


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
def filling(
    options: ModelOptions, location: str, records: str | None, model_path: Sequence[str] | None
) -> Iterator[SearchEngine]:
    """Open an index, or make it, to store images with the models that the options name.

    Which models of the index get no vectors of new images is said on standard error.

    Args:
        options: The options of the command.
        location: Where the vectors are.
        records: Where the records are; None for a file at the location.
        model_path: Where models are that the index remembers elsewhere.

    Raises:
        InvalidArgumentError: An option does not fit the models.
        ModelError: A model cannot be loaded.
        StoreError: A store failed.
    """
    embedders = options.embedders()
    if embedders is None and options.regions:
        embedders = _with_regions(location, records, model_path)
    with SearchEngine.open(
        location, embedders=embedders, records=records, model_path=model_path
    ) as engine:
        if embedders is not None:
            _note_left_out(engine, embedders)
        yield engine


def _with_regions(
    location: str, records: str | None, model_path: Sequence[str] | None
) -> list[Embedder]:
    """Return the models of an index, or that of a new one, with vectors of regions."""
    is_new = bool(missing_files(location, records))
    stored = [] if is_new else stored_models(location, records, DEFAULT_NAMESPACE)
    if not stored:
        return [OnnxEmbedder.bundled(regions=True)]
    # Where the index says which inner tensor they come from, that one is taken.
    wanted = [replace(each, settings={REGIONS: True, **each.settings}) for each in stored]
    return make_embedders(wanted, model_places(model_path))


def _note_left_out(engine: SearchEngine, embedders: Sequence[Embedder]) -> None:
    """Say of what an index has vectors, and new images get none."""
    models, here = engine.info().models, {each.name: each for each in embedders}
    if others := [model.name for model in models if model.name not in here]:
        output.print_note(
            f"the index also has {', '.join(others)}, and this run computes vectors of "
            f"{', '.join(here)} only: leave out --model to use all models of the index"
        )
    if parts := [
        model.name
        for model in models
        if model.regions is not None and model.name in here and regions_of(here[model.name]) is None
    ]:
        output.print_note(
            f"the index also has regions of {', '.join(parts)}, and this run computes none: leave "
            "out --model, or add --regions"
        )


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
    whole = model_below(model) if is_augmented(model) else model_of_regions(model)
    if whole in {each.name for each in stored}:
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
