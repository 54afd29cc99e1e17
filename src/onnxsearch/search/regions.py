"""Searches by regions: the parts of stored images are compared with the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from onnxsearch.embedders.regions import searched_by_region
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.vectors.capabilities import LateInteraction, Parts

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.embedders.regions import SearchedByRegion
    from onnxsearch.filters import Filter
    from onnxsearch.types import Hit
    from onnxsearch.vectors.base import Match, Vectors, VectorStore


def region_ranker(
    store: VectorStore,
    collection: str,
    model: SearchedByRegion,
    queries: Vectors,
    filter: Filter | None,
) -> Callable[[int], list[list[Match]]]:
    """Return what ranks images by the nearest of their regions.

    Raises:
        InvalidArgumentError: The store cannot do it.
    """
    if not isinstance(store, LateInteraction):
        raise InvalidArgumentError(
            f"{store!r} cannot search for regions: expected a LocalVectorStore or an "
            "InMemoryVectorStore. In every store, rerank=Rerank.by_model('NAME.regions') compares "
            "the regions of the first hits"
        )
    parts = Parts(model.regions_stored, model.dimension)
    return partial(store.search_parts, collection, queries, parts, filter=filter)


def check_whole(embedders: Sequence[Embedder], given: str, remedy: str = "") -> None:
    """Check that models give one vector of each image.

    Args:
        embedders: The models.
        given: What needs that, with its verb: "expand does".
        remedy: What to do instead, if there is something, as a sentence without its full stop.

    Raises:
        InvalidArgumentError: One gives vectors of regions.
    """
    for embedder in embedders:
        if searched_by_region(embedder) is not None:
            raise InvalidArgumentError(
                f"{given} not go with {embedder.name!r}: expected one vector of each image, and "
                f"regions are several{'. ' if remedy else ''}{remedy}"
            )


def located(
    model: SearchedByRegion, query: Vectors, hits: Sequence[Hit], rows: dict[str, Vectors]
) -> list[Hit]:
    """Return hits with the region that is nearest to the query.

    Args:
        model: The model of the regions.
        query: Its vector of the query, of shape (dimension,).
        hits: The hits.
        rows: Their stored rows by id; the hit of an image that is gone by now stays as it is.
    """
    return [
        replace(hit, region=model.nearest_region(rows[hit.id], query)[1]) if hit.id in rows else hit
        for hit in hits
    ]
