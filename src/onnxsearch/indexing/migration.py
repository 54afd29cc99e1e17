"""Models that are dropped or replaced while images stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxsearch._internal.validation import instance, text
from onnxsearch.embedders.base import Embedder
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.indexing.backfill import check_complete
from onnxsearch.indexing.spaces import ensure_collections, remember_models

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.indexing.backfill import Backfill
    from onnxsearch.types import IndexReport


def drop_model(catalog: Catalog, embedders: EmbedderRegistry, model: str) -> None:
    """Take a model out of the registry and the stores; see `SearchEngine.drop_model`."""
    text("model", model, "the name of a model")
    if (
        model not in embedders
        and catalog.collection(model) not in catalog.collections()
        and model not in catalog.recovery.dropped()
    ):
        embedders.named(model)  # raises, and says which models there are
    if list(embedders) == [model]:
        raise InvalidArgumentError(
            f"{model!r} is the engine's only model: migrate() replaces it by another one"
        )
    embedders.discard(model)
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


def migrate(
    embedders: EmbedderRegistry, old: str, backfill: Backfill, progress: ProgressSink
) -> IndexReport:
    """Fill in what the new model lacks, then drop the old one; see `SearchEngine.migrate`."""
    report = backfill.run(progress)
    check_complete(backfill.catalog, backfill.embedder.name)
    drop_model(backfill.catalog, embedders, old)
    return report
