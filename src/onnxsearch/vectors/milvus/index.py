"""The index types of Milvus, with their parameters.

They are classes, since Milvus does not check them: Milvus Lite accepts any name and then
cannot open the collection again, and a server accepts parameters that have no effect.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from onnxsearch._internal.validation import integer
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import Metric

_LEAST_EFFORT = 16
_MOST_EFFORT = 2_048
"""Effort above which more links improve the recall more."""


class MilvusIndex(ABC):
    """A kind of index, with its parameters. Use one of the classes below it."""

    __slots__ = ()

    kind: ClassVar[str]
    """Name of the index type in Milvus."""
    binary_kind: ClassVar[str | None] = None
    """Name of the index type for `Metric.HAMMING`; None if bits are not supported."""
    on_lite: ClassVar[bool] = True
    """Whether Milvus Lite supports it."""

    def kind_for(self, metric: Metric) -> str:
        """Return the name of the index type in a collection of that metric.

        Raises:
            InvalidArgumentError: The index does not support bits.
        """
        if metric is not Metric.HAMMING:
            return self.kind
        if self.binary_kind is None:
            raise InvalidArgumentError(
                f"{self!r} does not support bits: for metric 'hamming' use FlatIndex(), "
                "IVFFlatIndex() or AutoIndex()"
            )
        return self.binary_kind

    @property
    def build(self) -> Mapping[str, int | str]:
        """Parameters for building the index."""
        return {}

    def search(self, limit: int) -> Mapping[str, int]:
        """Parameters for a search of `limit` rows."""
        del limit
        return {}

    def variants(self, limit: int) -> Sequence[MilvusIndex]:
        """Return this index with each set of search parameters, cheapest first."""
        del limit
        return [self]


@dataclass(frozen=True, slots=True)
class FlatIndex(MilvusIndex):
    """Compares the query with every row. Exact; finds what the local store finds."""

    kind: ClassVar[str] = "FLAT"
    binary_kind: ClassVar[str | None] = "BIN_FLAT"


@dataclass(frozen=True, slots=True)
class AutoIndex(MilvusIndex):
    """The index type that the server chooses. Approximate; the one for Milvus in the cloud."""

    kind: ClassVar[str] = "AUTOINDEX"
    binary_kind: ClassVar[str | None] = "AUTOINDEX"


@dataclass(frozen=True, slots=True)
class _Lists(MilvusIndex):
    lists: int = 1024
    """Number of lists, 1 to 65,536."""
    probes: int = 64
    """Number of lists that a search reads."""

    def __post_init__(self) -> None:
        _check("lists", self.lists, 1, 65_536)
        _check("probes", self.probes, 1, self.lists)

    @property
    def build(self) -> Mapping[str, int | str]:
        return {"nlist": self.lists}

    def search(self, limit: int) -> Mapping[str, int]:
        del limit
        return {"nprobe": self.probes}

    def variants(self, limit: int) -> Sequence[MilvusIndex]:
        """Return this index with 1 probe, and with more probes up to all lists."""
        del limit
        return [replace(self, probes=probes) for probes in _steps(1, self.lists)]


@dataclass(frozen=True, slots=True)
class IVFFlatIndex(_Lists):
    """Sorts rows into lists, and searches the nearest lists. Approximate.

    The defaults suit some 100,000 rows; Milvus advises `lists` of 4 * sqrt(rows).
    """

    kind: ClassVar[str] = "IVF_FLAT"
    binary_kind: ClassVar[str | None] = "BIN_IVF_FLAT"


@dataclass(frozen=True, slots=True)
class IVFSQ8Index(_Lists):
    """As `IVFFlatIndex`, with 8 bits a number: a quarter of the memory, less exact."""

    kind: ClassVar[str] = "IVF_SQ8"


@dataclass(frozen=True, slots=True)
class SCANNIndex(_Lists):
    """As `IVFFlatIndex`, with 4 bits a number to choose the rows that are measured.

    For servers from 2.3 on; Milvus Lite does not support it.
    """

    candidates: int = 200
    """Rows that are measured exactly; at least the limit."""

    kind: ClassVar[str] = "SCANN"
    on_lite: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _Lists.__post_init__(self)
        _check("candidates", self.candidates, 1, 16_384)

    def search(self, limit: int) -> Mapping[str, int]:
        return {"nprobe": self.probes, "reorder_k": max(self.candidates, limit)}


@dataclass(frozen=True, slots=True)
class HNSWIndex(MilvusIndex):
    """A graph of neighbours. Approximate; fast on servers, with many rows.

    The defaults found all of the true neighbours among 100,000 vectors.
    """

    links: int = 16
    """Neighbours that each row keeps, 2 to 2,048."""
    effort: int = 200
    """Candidates examined when a row is added."""
    search_effort: int = 64
    """Candidates examined by a search; at least the limit."""

    kind: ClassVar[str] = "HNSW"

    def __post_init__(self) -> None:
        _check("links", self.links, 2, 2_048)
        _check("effort", self.effort, 1, 32_768)
        _check("search_effort", self.search_effort, 1, 32_768)

    @property
    def build(self) -> Mapping[str, int | str]:
        return {"M": self.links, "efConstruction": self.effort}

    def search(self, limit: int) -> Mapping[str, int]:
        return {"ef": max(self.search_effort, limit)}

    def variants(self, limit: int) -> Sequence[MilvusIndex]:
        """Return this index with a search effort of `limit`, and with more effort up to 2,048."""
        least = max(limit, _LEAST_EFFORT)
        efforts = _steps(least, max(least, _MOST_EFFORT))
        return [replace(self, search_effort=effort) for effort in efforts]


@dataclass(frozen=True, slots=True)
class HNSWSQIndex(HNSWIndex):
    """As `HNSWIndex`, with 8 bits a number: a quarter of the memory, less exact.

    For Milvus Lite and newer servers; server 2.3 refuses it.
    """

    kind: ClassVar[str] = "HNSW_SQ"

    @property
    def build(self) -> Mapping[str, int | str]:
        return {"M": self.links, "efConstruction": self.effort, "sq_type": "SQ8"}


def _steps(least: int, most: int) -> list[int]:
    """Return both ends, and between them the powers of 2 and their halves times 3."""
    between = {base << power for power in range(16) for base in (2, 3)}
    return sorted({least, most} | {step for step in between if least < step < most})


def _check(name: str, value: int, least: int, most: int) -> None:
    integer(name, value, least=least, most=most)


def checked_index(index: MilvusIndex | None) -> MilvusIndex:
    """Return `index`, or the default one for None.

    Raises:
        InvalidArgumentError: It is not an index.
    """
    index = FlatIndex() if index is None else index
    if not isinstance(index, MilvusIndex):
        raise InvalidArgumentError(f"index {index!r:.80}: expected one such as FlatIndex()")
    return index
