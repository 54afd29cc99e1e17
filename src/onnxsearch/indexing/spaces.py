"""A collection in the vector store for each model's vector space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnxsearch.catalog.catalog import Catalog
from onnxsearch.vectors.base import CollectionSpec

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder


def ensure_collections(catalog: Catalog, embedders: Iterable[Embedder]) -> None:
    """Make the collection of each embedder, or check that it holds the same space.

    Raises:
        SpaceMismatchError: A collection was filled by another model, profile, output
            or dimension.
        StoreMismatchError: A collection belongs to other records.
        StoreError: The store failed.
    """
    for embedder in embedders:
        catalog.ensure_collection(
            embedder.name,
            CollectionSpec(
                name=catalog.collection(embedder.name),
                dimension=embedder.dimension,
                fingerprint=embedder.fingerprint,
                metric=embedder.metric,
            ),
        )
