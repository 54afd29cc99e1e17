"""The indexes that Milvus may keep over a collection.

Only kinds that Milvus Lite and servers both have: Lite takes any other name
without a word, and then can't open the collection again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeAlias

from onnxsearch.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class FlatIndex:
    """Compares the query with every row. Exact; finds what the local store finds."""

    kind: ClassVar[str] = "FLAT"

    @property
    def build(self) -> Mapping[str, int]:
        """Parameters for building the index."""
        return _NOTHING

    def search(self, limit: int) -> Mapping[str, int]:
        """Parameters for a search of `limit` rows."""
        del limit
        return _NOTHING


@dataclass(frozen=True, slots=True)
class IVFFlatIndex:
    """Sorts rows into lists, and searches the lists that are near. Approximate.

    The defaults suit some 100,000 rows; Milvus advises `lists` of 4 * sqrt(rows).
    """

    lists: int = 1024
    """Lists to make, 1 to 65,536."""
    probes: int = 64
    """Lists to search."""

    kind: ClassVar[str] = "IVF_FLAT"

    def __post_init__(self) -> None:
        _check("lists", self.lists, 1, 65_536)
        _check("probes", self.probes, 1, self.lists)

    @property
    def build(self) -> Mapping[str, int]:
        """Parameters for building the index."""
        return {"nlist": self.lists}

    def search(self, limit: int) -> Mapping[str, int]:
        """Parameters for a search of `limit` rows."""
        del limit
        return {"nprobe": self.probes}


@dataclass(frozen=True, slots=True)
class HNSWIndex:
    """A graph of neighbours. Approximate; fast on servers, with many rows.

    The defaults found all of the true neighbours among 100,000 vectors.
    """

    links: int = 16
    """Neighbours that each row keeps, 2 to 2,048."""
    effort: int = 200
    """Candidates looked at when a row is added."""
    search_effort: int = 64
    """Candidates looked at by a search; raised to the limit where that is higher."""

    kind: ClassVar[str] = "HNSW"

    def __post_init__(self) -> None:
        _check("links", self.links, 2, 2_048)
        _check("effort", self.effort, 1, 32_768)
        _check("search_effort", self.search_effort, 1, 32_768)

    @property
    def build(self) -> Mapping[str, int]:
        """Parameters for building the index."""
        return {"M": self.links, "efConstruction": self.effort}

    def search(self, limit: int) -> Mapping[str, int]:
        """Parameters for a search of `limit` rows."""
        return {"ef": max(self.search_effort, limit)}


@dataclass(frozen=True, slots=True)
class AutoIndex:
    """Whatever the server thinks best. Approximate; what Milvus' cloud expects."""

    kind: ClassVar[str] = "AUTOINDEX"

    @property
    def build(self) -> Mapping[str, int]:
        """Parameters for building the index."""
        return _NOTHING

    def search(self, limit: int) -> Mapping[str, int]:
        """Parameters for a search of `limit` rows."""
        del limit
        return _NOTHING


MilvusIndex: TypeAlias = FlatIndex | IVFFlatIndex | HNSWIndex | AutoIndex
"""The choices of index."""

_NOTHING: Mapping[str, int] = MappingProxyType({})


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArgumentError(f"{name} {value}: expected {least} to {most}")
