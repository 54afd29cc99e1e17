"""Searches in Milvus, and vectors in the form that Milvus takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pymilvus import MilvusClient

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import Metric, Vectors
from onnxsearch.vectors.base import CollectionSpec, Match
from onnxsearch.vectors.milvus.collection import metric_name
from onnxsearch.vectors.milvus.index import MilvusIndex

Value: TypeAlias = "bytes | NDArray[np.float32 | np.uint8]"
"""A vector as Milvus takes it: packed bits are bytes."""

_PAGE = 10_000
"""Keys per request; a server takes 0.2 s for each."""
MOST_ROWS = 16_384
"""Most rows that Milvus returns for a query."""
_SPARE = 8
"""Rows requested beyond the limit, to detect ties with the last row."""
_MOST_QUERIES = 100
_ANSWER_BYTES = 16 << 20
"""Bytes of one answer; a server refuses to send more than 64 MiB."""
_HIT_BYTES = 50
_LITE_BYTES = 256 << 20
"""Memory for the products of all queries of a request with all rows of Milvus Lite."""


class Consistency(StrEnum):
    """The writes that a search on a server is guaranteed to see; Lite always sees all writes."""

    STRONG = "Strong"
    """All acknowledged writes of all clients. Costs about 0.2 s a search."""
    SESSION = "Session"
    """At least the writes of this client."""
    BOUNDED = "Bounded"
    """All writes except those of the last seconds, also of this client."""
    EVENTUALLY = "Eventually"
    """No guarantee."""


def checked_consistency(consistency: Consistency) -> Consistency:
    """Return `consistency`.

    Raises:
        InvalidArgumentError: It is not a `Consistency`.
    """
    if not isinstance(consistency, Consistency):
        raise InvalidArgumentError(
            f"consistency {consistency!r:.80}: expected one such as Consistency.STRONG"
        )
    return consistency


@dataclass(frozen=True, slots=True)
class Search:
    """The parameters that all queries of a search share."""

    spec: CollectionSpec
    limit: int
    condition: str
    index: MilvusIndex
    consistency: str
    timeout: float

    def run(self, client: MilvusClient, queries: Vectors, compared: int) -> list[list[Match]]:
        """Return the nearest rows of each query.

        Args:
            client: The client to ask.
            queries: The queries, (n, columns).
            compared: Rows that Milvus Lite compares with each query in memory; 0 for a
                server, which limits its memory itself.
        """
        rows = min(self.limit + _SPARE, MOST_ROWS)
        step = min(_MOST_QUERIES, max(1, _ANSWER_BYTES // (_HIT_BYTES * rows)))
        if compared:
            step = min(step, max(1, _LITE_BYTES // (queries[0].nbytes * compared)))
        found: list[list[Match]] = []
        for start in range(0, len(queries), step):
            found += self._nearest(client, queries[start : start + step], rows)
        return found

    def _nearest(self, client: MilvusClient, queries: Vectors, rows: int) -> list[list[Match]]:
        answers = client.search(
            self.spec.name,
            data=to_milvus(queries, self.spec),
            anns_field="vector",
            limit=rows,
            filter=self.condition,
            # Lite would return every field, vectors included.
            output_fields=["id"],
            search_params={
                "metric_type": metric_name(self.spec),
                "params": dict(self.index.search(rows)),
            },
            timeout=self.timeout,
            consistency_level=self.consistency,
        )
        found: list[list[Match]] = []
        for query, hits in zip(queries, answers, strict=True):
            matches = [
                Match(hit["id"], _distance(self.spec.metric, hit["distance"])) for hit in hits
            ]
            if self._goes_on(client, matches, rows):
                found += self._nearest(client, query[np.newaxis], min(4 * rows, MOST_ROWS))
            else:
                matches.sort(key=lambda match: (match.distance, match.key))
                found.append(matches[: self.limit])
        return found

    def _goes_on(self, client: MilvusClient, matches: Sequence[Match], rows: int) -> bool:
        """Return whether further rows may belong among the first `limit`."""
        if len(matches) < rows:
            return False
        if rows < MOST_ROWS:
            return matches[-1].distance <= matches[self.limit - 1].distance
        if self.limit > MOST_ROWS < self._count(client):
            raise InvalidArgumentError(
                f"limit {self.limit}: Milvus returns at most {MOST_ROWS} rows, and the "
                "collection has more"
            )
        return False

    def _count(self, client: MilvusClient) -> int:
        """Return the number of rows that meet the condition."""
        return count(
            client,
            self.spec.name,
            self.condition,
            consistency=self.consistency,
            timeout=self.timeout,
        )


def count(
    client: MilvusClient, name: str, condition: str = "", *, consistency: str, timeout: float
) -> int:
    """Return the number of rows of a collection that meet the condition."""
    (row,) = client.query(
        name,
        filter=condition,
        output_fields=["count(*)"],
        timeout=timeout,
        consistency_level=consistency,
    )
    return int(row["count(*)"])


def keys_after(
    client: MilvusClient, name: str, last: str, *, consistency: str, timeout: float
) -> list[str]:
    """Return the keys of a collection that follow `last`, in order."""
    rows = client.query(
        name,
        filter=f'id > "{last}"',
        limit=_PAGE,
        output_fields=["id"],
        timeout=timeout,
        consistency_level=consistency,
        # These parameters order the rows by key, as the iterator of pymilvus does. That
        # iterator logs a warning on every use, for Lite and for servers before 2.4.
        iterator="True",
        reduce_stop_for_best="True",
    )
    return [row["id"] for row in rows]


def to_milvus(vectors: Vectors, spec: CollectionSpec) -> list[Value]:
    """Return the rows of a matrix in the form that Milvus takes."""
    if spec.metric is Metric.HAMMING:
        return [vector.tobytes() for vector in vectors]
    return list(vectors)


def from_milvus(value: Sequence[float] | Sequence[bytes], spec: CollectionSpec) -> Vectors:
    """Return the vector that Milvus returned."""
    if spec.metric is Metric.HAMMING:
        return np.frombuffer(b"".join(cast("Sequence[bytes]", value)), np.uint8).copy()
    return np.asarray(value, np.float32)


def _distance(metric: Metric, value: float) -> float:
    """Return the distance that `Metric` defines for the one that Milvus reports."""
    if metric is Metric.HAMMING:
        return value
    return math.sqrt(max(value, 0.0)) if metric is Metric.L2 else 1.0 - value
