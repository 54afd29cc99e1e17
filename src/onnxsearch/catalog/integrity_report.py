"""The findings of `onnxsearch.catalog.integrity`: what is wrong, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from onnxsearch._internal.tables import Tabular, columns_of, row
from onnxsearch.types import JSONValue


class Defect(StrEnum):
    """A kind of damage, and how a repair mends it."""

    ORPHAN_VECTOR = "orphan vector"
    """A vector that no record and no journal entry names. A repair deletes it."""
    MISSING_VECTOR = "missing vector"
    """A record lists a model that has no vector of the image. A repair takes the model off
    the record; the next `index` fills it in. An image without any vector keeps its record
    and metadata, but no search finds it until it is indexed or added again."""
    UNREACHABLE_RECORD = "unreachable record"
    """A record that is not the current one of its id. A repair makes it current if the id
    has none, and removes it otherwise."""
    DANGLING_ID = "dangling id"
    """An id whose record is gone, or belongs to another id. A repair forgets the id; the
    next `index` stores it anew."""
    UNREADABLE_CELL = "unreadable cell"
    """A record, or a reference to one, that cannot be read: something else wrote it. A
    repair removes it and mends what belongs to it as above; its metadata are lost."""
    STALE_WORDS = "stale words"
    """An image that keyword searches do not know, or one that they know although it is gone. A
    repair deletes the index of words; the next keyword search makes it anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One damaged thing."""

    defect: Defect
    key: str
    """Key of the vector or record; for a dangling id the hash of the id; for a cell that
    cannot be read its key in the metadata store."""
    id: str | None = None
    """The image's id, where a record names it."""
    collection: str | None = None
    """The collection of the vector that is orphaned or missing."""


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport(Tabular):
    """What `SearchEngine.verify` found."""

    records: int
    """Records that were checked."""
    vectors: Mapping[str, int]
    """Vectors that were checked, by collection."""
    counts: Mapping[Defect, int]
    """How often each defect occurs; 0 for defects that do not occur."""
    findings: tuple[Finding, ...]
    """Each defect found, the first 1,000 of them."""
    repaired: bool
    """Whether the defects were mended."""

    _columns: ClassVar[Mapping[str, str]] = columns_of(Finding)

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return the findings as dictionaries with the fields of `Finding`."""
        return [row(finding) for finding in self.findings]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or everything was mended."""
        return self.repaired or not any(self.counts.values())

    def __repr__(self) -> str:
        found = ", ".join(f"{n} {defect.value}" for defect, n in self.counts.items() if n)
        mended = ", repaired" if found and self.repaired else ""
        seen = f"{self.records} records, {sum(self.vectors.values())} vectors"
        return f"<VerifyReport {seen}: {found or 'all is well'}{mended}>"
