"""A collection in the vector store for each model's vector space."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.embedders.description import differences
from onnxsearch.embedders.regions import regions_of
from onnxsearch.errors import SpaceMismatchError, StoreError
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.images.reading import ReadPolicy


def ensure_collections(
    catalog: Catalog, embedders: Iterable[Embedder], reading: ReadPolicy
) -> None:
    """Make the collection of each embedder, or check that it holds the same space.

    Raises:
        ProfileError: A model cannot take images that are opened by `reading`.
        SpaceMismatchError: A collection was filled by another model, profile, output
            or dimension, or from images read with another `ReadPolicy.draft`.
        StoreMismatchError: A collection belongs to other records.
        StoreError: The store failed.
    """
    embedders = list(embedders)
    for embedder in embedders:
        embedder.check_reading(reading)
    for embedder in embedders:
        spaces = [_space(catalog, embedder, embedder.dimension, reading)]
        if (regions := regions_of(embedder)) is not None:
            spaces.append(_space(catalog, regions, regions.columns_stored, reading))
        try:
            for name, space in spaces:
                catalog.ensure_collection(name, space)
        except SpaceMismatchError as error:
            raise SpaceMismatchError(f"{_why_mismatched(catalog, embedder)}{error}") from error


def _space(
    catalog: Catalog, embedder: Embedder, dimension: int, reading: ReadPolicy
) -> tuple[str, CollectionSpec]:
    """Return the name and the specification of the space that an embedder fills."""
    return embedder.name, CollectionSpec(
        name=catalog.collection(embedder.name),
        dimension=dimension,
        fingerprint=_fingerprint(embedder, reading),
        metric=embedder.metric,
    )


def _why_mismatched(catalog: Catalog, embedder: Embedder) -> str:
    """Return what the index can say on why the vectors of an embedder are others."""
    with suppress(StoreError):  # the mismatch is what has to be said
        for model in catalog.manifest.models():
            if model.name == embedder.name and (found := differences(embedder.describe(), model)):
                return f"model {embedder.name!r} now has {', '.join(found)}: "
    return ""


def remember_models(catalog: Catalog, embedders: Iterable[Embedder]) -> None:
    """Note the models of an engine in the index, so that it can be opened without them."""
    catalog.remember([embedder.describe() for embedder in embedders])


def _fingerprint(embedder: Embedder, reading: ReadPolicy) -> str:
    """Return the fingerprint of an embedder's vectors, of images that the engine reads."""
    # A draft has other pixels than the whole image, for every embedder.
    drafted = "" if reading.draft is None else f"+draft={reading.draft}"
    return f"{embedder.fingerprint}{drafted}"
