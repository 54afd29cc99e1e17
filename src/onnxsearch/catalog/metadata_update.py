"""Updates of the metadata of a stored image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnxsearch._internal.validation import boolean, instance
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.keys import check_id
from onnxsearch.catalog.serialization import check_metadata
from onnxsearch.types import JSONValue, Metadata, MetadataInput, Record


def update_metadata(catalog: Catalog, id: str, metadata: MetadataInput, *, merge: bool) -> Record:
    """Change the metadata of a stored image; return its new record.

    Args:
        catalog: Where the image is stored.
        id: The image.
        metadata: The new metadata, or with `merge` a patch of them.
        merge: Apply `metadata` as a JSON merge patch.

    Raises:
        InvalidArgumentError: No such image is stored, or the metadata cannot be.
        StoreError: A store failed.
    """
    check_id(id)
    given = check_metadata(instance("metadata", metadata, Mapping, "a mapping"))
    boolean("merge", merge)

    def changed(record: Record) -> Record:
        values = _merged(record.metadata, given) if merge else given
        return replace(record, metadata=check_metadata(values))

    (record,) = catalog.records.with_paths([catalog.update(id, changed)])
    return record


def _merged(before: Metadata, patch: Metadata) -> dict[str, JSONValue]:
    """Apply a JSON merge patch (RFC 7396): None removes a field, objects are merged."""
    values = dict(before)
    for name, value in patch.items():
        if value is None:
            values.pop(name, None)
        elif isinstance(value, Mapping):
            inner = values.get(name)
            values[name] = _merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            values[name] = value
    return values
