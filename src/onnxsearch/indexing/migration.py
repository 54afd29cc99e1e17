"""Models that are dropped or replaced while images stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from onnxsearch._internal.validation import instance, text
from onnxsearch.catalog.augmented_spaces import augmented_name
from onnxsearch.embedders.base import Embedder
from onnxsearch.embedders.bundled import DEFAULT_MODEL
from onnxsearch.embedders.regions import model_of_regions, regions_name, regions_of
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.backfill import check_complete
from onnxsearch.indexing.spaces import ensure_collections, remember_models

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.catalog.transfer import ImageSource
    from onnxsearch.embedders.description import ModelDescription
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.indexing.backfill import Backfill
    from onnxsearch.types import IndexReport

MakeEmbedders: TypeAlias = "Callable[[Sequence[ModelDescription]], Sequence[Embedder]]"
"""Makes embedders of their descriptions."""


def drop_model(catalog: Catalog, embedders: EmbedderRegistry, model: str) -> None:
    """Take a model out of the registry and the stores; see `SearchEngine.drop_model`."""
    text("model", model, "the name of a model")
    if (
        model not in embedders
        and catalog.collection(model) not in catalog.collections()
        and model not in catalog.recovery.dropped()
        and model not in [each.name for each in catalog.manifest.models()]
    ):
        embedders.named(model)  # raises, and says which models there are
    if list(embedders) == [model]:
        raise InvalidArgumentError(
            f"{model!r} is the engine's only model: migrate() replaces it by another one"
        )
    whole = embedders.get(model_of_regions(model) or "")
    if whole is not None and regions_of(whole) is not None:
        raise InvalidArgumentError(
            f"{model!r}: this engine gives new images regions. Open the index with "
            f"{whole.name!r} made without regions=True, and drop them then"
        )
    embedders.discard(model)
    for space in (augmented_name(model), regions_name(model)):
        if catalog.collection(space) in catalog.collections():
            catalog.drop(space)
    catalog.drop(model)


def begin_migration(
    catalog: Catalog,
    embedders: EmbedderRegistry,
    old: str,
    new: str | Embedder,
    reading: ReadPolicy,
) -> Embedder:
    """Let the new model stand beside the old one, and return it.

    Raises:
        InvalidArgumentError: Both have the same name.
        UnknownModelError: The engine has no model named `new`.
        ProfileError: The new model cannot take images as the engine opens them.
        SpaceMismatchError: The new model's collection holds another space.
    """
    text("old", old, "the name of a model")
    instance("new", new, (str, Embedder), "an Embedder, or the name of a model")
    name = new if isinstance(new, str) else new.name
    if name == old:
        raise InvalidArgumentError(
            f"both models are named {old!r}: give the new one another name, as in "
            "OnnxEmbedder(path, name='mine')"
        )
    if isinstance(new, Embedder) and name not in embedders:
        ensure_collections(catalog, [new], reading)
        embedders.insert(new, after=old)
        remember_models(catalog, embedders.values())
    return embedders.named(name)


def adopt_models(
    catalog: Catalog,
    embedders: EmbedderRegistry,
    source: ImageSource,
    make: MakeEmbedders | None,
    reading: ReadPolicy,
) -> Sequence[Embedder]:
    """Give an index that is new, and has the default model only, the models of a source.

    Nothing happens if the source has vectors of the default model, or does not say how its
    models are made.

    Args:
        catalog: The images of the index.
        embedders: The models of the index.
        source: Images to be copied into the index.
        make: Makes embedders; None if the caller has chosen the models of the index.
        reading: How the engine opens images.

    Returns:
        The embedders that were made.

    Raises:
        ModelNotFoundError: A model is not found, and nothing was changed.
    """
    if make is None or list(embedders) != [DEFAULT_MODEL] or catalog.records.count():
        return ()
    models = set(source.models())
    descriptions = [each for each in source.descriptions() if each.name in models]
    if DEFAULT_MODEL in models or not descriptions:
        return ()
    made = make(descriptions)
    ensure_collections(catalog, made, reading)
    for embedder in made:
        embedders.insert(embedder, after=embedder.name)
    drop_model(catalog, embedders, DEFAULT_MODEL)
    remember_models(catalog, embedders.values())
    return made


def migrate(
    embedders: EmbedderRegistry, old: str, backfill: Backfill, progress: ProgressSink
) -> IndexReport:
    """Fill in what the new model lacks, then drop the old one; see `SearchEngine.migrate`."""
    report = backfill.run(progress)
    check_complete(backfill.catalog, backfill.embedder.name)
    drop_model(backfill.catalog, embedders, old)
    return report
