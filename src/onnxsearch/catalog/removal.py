"""Removal of images, by id or by filter, in commits of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsearch._internal.threads import batched
from onnxsearch.catalog.batching import BATCH
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.keys import check_ids
from onnxsearch.catalog.listing import Records
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.filters import Filter


def remove_images(
    catalog: Catalog, ids: str | Iterable[str] | None, filter: Filter | None
) -> list[str]:
    """Remove images by id, or all that match a filter; return the ids that existed.

    Raises:
        InvalidArgumentError: Not exactly one of the two is given, a value is not an id, or
            `filter` is not a filter; nothing was removed.
        StoreError: A store failed; what was removed before stays removed.
    """
    if (ids is None) == (filter is None):
        raise InvalidArgumentError(
            f"id {ids!r:.80} and filter {filter!r:.80}: expected one of the two"
        )
    wanted = (r.id for r in Records(catalog.records, filter)) if ids is None else check_ids(ids)
    removed: list[str] = []
    for batch in batched(wanted, BATCH):
        removed += catalog.remove(batch, filter)
    return removed
