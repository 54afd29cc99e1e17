"""Records, hits and comparisons as JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from onnxsearch.serving.links import IMAGES, RECORDS, SEARCH, THUMBNAILS, quoted_id
from onnxsearch.types import Hit, JSONValue, Record

if TYPE_CHECKING:
    from onnxsearch.evaluation.comparison import Agreement

Document = dict[str, JSONValue]


@dataclass(frozen=True, slots=True)
class Documents:
    """Makes documents whose links lead back to the service."""

    root: str
    """The path under which the service is mounted, without a slash at its end."""

    def hits(self, hits: Iterable[Hit]) -> list[JSONValue]:
        """Return the hits of a search, nearest first."""
        return [self._hit(hit) for hit in hits]

    def _hit(self, hit: Hit) -> Document:
        return {
            **self._image(hit.id, hit.uri),
            "distance": hit.distance,
            "score": hit.score,
            "similarity": hit.similarity,
            "metadata": hit.metadata,
            "model": hit.model,
            "region": None if hit.region is None else list(hit.region),
        }

    def record(self, record: Record) -> Document:
        """Return a record."""
        return {
            **self._image(record.id, record.uri),
            "metadata": record.metadata,
            "models": list(record.models),
            "paths": list(record.paths),
            "bytes": record.size,
            "modified": _moment(record.modified_ns),
        }

    def copy(self, path: str) -> Document:
        """Return an exact copy of a stored image, of which the index knows the path only."""
        return {"id": path, "name": _name(path), "uri": path, "metadata": {}, "copy": True}

    def _image(self, id: str, uri: str | None) -> Document:
        quoted = quoted_id(id)
        is_file = uri is not None and "://" not in uri
        return {
            "id": id,
            "name": _name(uri or id),
            "uri": uri,
            "thumbnail": f"{self.root}{THUMBNAILS}{quoted}" if is_file else None,
            "image": f"{self.root}{IMAGES}{quoted}" if is_file else None,
            "record": f"{self.root}{RECORDS}{quoted}",
            "similar": f"{self.root}{SEARCH}?id={quoted}",
        }


def agreement(found: Agreement) -> Document:
    """Return how far two models agree. JSON has no NaN."""
    tau = found.kendall_tau
    return {
        "models": list(found.models),
        "overlap": found.overlap,
        "rank_biased_overlap": found.rank_biased_overlap,
        "kendall_tau": None if math.isnan(tau) else tau,
    }


def _name(uri: str) -> str:
    return os.path.basename(uri) or uri


def _moment(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()
    except (OverflowError, OSError, ValueError):  # a file of the year 10,000
        return None
