"""A collection in Milvus: its schema, its properties and its index."""

from __future__ import annotations

import json
import time
from typing import cast

from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from onnxsearch.errors import InvalidArgumentError, StoreCorruptError, StoreUnavailableError
from onnxsearch.types import Metric
from onnxsearch.vectors.base import CollectionSpec
from onnxsearch.vectors.milvus.index import MilvusIndex

LONG_SECONDS = 300.0
"""Seconds for calls that read or write a whole collection: index, load, flush."""

_POLL_SECONDS = 0.2
_MARK = "onnxsearch"
"""The property of a collection that holds its spec, since Lite keeps no description."""
_PARTIAL = "onnxsearch_partial"
"""The property of a collection that has rows without some fields of their metadata."""
_FORMAT = 1


def create_collection(
    client: MilvusClient, spec: CollectionSpec, *, consistency: str, timeout: float
) -> None:
    """Create the collection, unless another client creates one of that name first."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=32)
    kind = DataType.BINARY_VECTOR if spec.metric is Metric.HAMMING else DataType.FLOAT_VECTOR
    schema.add_field("vector", kind, dim=spec.dimension)
    schema.add_field("metadata", DataType.JSON)
    try:
        client.create_collection(
            spec.name,
            schema=schema,
            properties={_MARK: _mark_of(spec)},
            consistency_level=consistency,
            timeout=timeout,
        )
    except MilvusException:
        if not client.has_collection(spec.name, timeout=timeout):
            raise


def read_spec(client: MilvusClient, name: str, *, timeout: float) -> CollectionSpec | None:
    """Return the spec of an existing collection; None if onnxsearch did not create it.

    Raises:
        StoreCorruptError: The spec is of an unknown format, or damaged.
    """
    text = _mark(client, name, timeout)
    if text is None:
        return None
    try:
        mark = json.loads(text)
        if mark["format"] == _FORMAT:
            return CollectionSpec(
                name,
                mark["dimension"],
                mark["fingerprint"],
                Metric(mark["metric"]),
                mark.get("owner"),
            )
    except (ValueError, KeyError, TypeError, InvalidArgumentError) as error:
        raise StoreCorruptError(
            f"collection {name!r} has the property {_MARK}={text!r:.80}, which onnxsearch does "
            "not write: it is damaged, or another application's. Drop it there, or choose "
            "another namespace, or database"
        ) from error
    raise StoreCorruptError(
        f"collection {name!r} is of format {mark['format']!r:.80}, and this release of "
        f"onnxsearch reads format {_FORMAT}. Use the release that wrote it, or drop the "
        "collection and index again"
    )


def write_owner(client: MilvusClient, spec: CollectionSpec, *, timeout: float) -> None:
    """Write the owner of a collection that has none."""
    found = read_spec(client, spec.name, timeout=timeout)
    if found is not None and found == spec and found.owner is None:
        client.alter_collection_properties(
            spec.name, properties={_MARK: _mark_of(spec)}, timeout=timeout
        )


def write_partial(client: MilvusClient, name: str, *, timeout: float) -> None:
    """Note that a collection has rows without some fields of their metadata."""
    client.alter_collection_properties(name, properties={_PARTIAL: "true"}, timeout=timeout)


def is_partial(client: MilvusClient, name: str, *, timeout: float) -> bool:
    """Return whether a collection may have rows without some fields of their metadata."""
    return _PARTIAL in _properties(client, name, timeout)


def is_ours(client: MilvusClient, name: str, *, timeout: float) -> bool:
    """Return whether onnxsearch created the collection, in any format."""
    return _mark(client, name, timeout) is not None


def _mark_of(spec: CollectionSpec) -> str:
    mark = {
        "format": _FORMAT,
        "dimension": spec.dimension,
        "metric": spec.metric.value,
        "fingerprint": spec.fingerprint,
    }
    return json.dumps(mark if spec.owner is None else {**mark, "owner": spec.owner})


def _mark(client: MilvusClient, name: str, timeout: float) -> str | None:
    return _properties(client, name, timeout).get(_MARK)


def _properties(client: MilvusClient, name: str, timeout: float) -> dict[str, str]:
    description = cast(
        "dict[str, dict[str, str]]", client.describe_collection(name, timeout=timeout)
    )
    return description["properties"]


def make_ready(
    client: MilvusClient, spec: CollectionSpec, index: MilvusIndex, *, timeout: float
) -> None:
    """Load the collection; build its index first if its creator was killed before that."""
    if not client.list_indexes(spec.name, timeout=timeout):
        parameters = MilvusClient.prepare_index_params()
        parameters.add_index(
            "vector",
            index_type=index.kind_for(spec.metric),
            metric_type=metric_name(spec),
            # Lite ignores parameters outside of "params", where pymilvus puts them.
            params={"params": dict(index.build)},
        )
        client.create_index(spec.name, parameters, timeout=LONG_SECONDS)
    client.load_collection(spec.name, timeout=LONG_SECONDS)


def wait_for_index(client: MilvusClient, name: str, timeout: float) -> None:
    """Wait until the index of a server holds all rows that are flushed.

    Raises:
        StoreUnavailableError: The index was not complete in that time.
    """
    deadline = time.monotonic() + timeout
    while True:
        # The state is "Finished" from the start; the number of pending rows is reliable.
        index = client.describe_index(name, "vector", timeout=timeout)
        left = int(index["pending_index_rows"])
        if not left:
            return
        if time.monotonic() > deadline:
            raise StoreUnavailableError(
                f"the index of collection {name!r} lacks {left} rows after {timeout:g} seconds"
            )
        time.sleep(_POLL_SECONDS)


def metric_name(spec: CollectionSpec) -> str:
    """Return the name that Milvus has for the metric of `spec`."""
    return spec.metric.value.upper()
