"""What `onnxsearch.catalog.integrity` finds: values that say what is wrong, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Defect(StrEnum):
    """What can be wrong, and how it is mended."""

    ORPHAN_VECTOR = "orphan vector"
    """A vector that no record and no journal entry knows of. It is deleted."""
    MISSING_VECTOR = "missing vector"
    """A record lists a model that has no vector of it. The model is taken off the
    record; the next `index` fills it in. A picture that has no vector left keeps its
    record, and with it its metadata, but no search finds it until it is indexed or
    added again."""
    UNREACHABLE_RECORD = "unreachable record"
    """A record that is not the current one of its id. It becomes that if the id has
    none, and is removed otherwise."""
    DANGLING_ID = "dangling id"
    """An id whose record is gone, or another id's. It is forgotten; the next `index`
    stores it anew."""
    UNREADABLE_CELL = "unreadable cell"
    """A record, or what leads to one, that cannot be read: something else wrote it. It is
    removed, and what belongs to it is mended as above; its metadata are lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    defect: Defect
    key: str
    """Key of the vector or record; for a dangling id the hash of the id; for a cell that
    cannot be read its key in the metadata store."""
    id: str | None = None
    """The picture's id, where a record tells it."""
    collection: str | None = None
    """The collection of the vector that is orphaned or missing."""


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport:
    """What `SearchEngine.verify` found."""

    records: int
    """Records that were looked at."""
    vectors: Mapping[str, int]
    """Vectors that were looked at, by collection."""
    counts: Mapping[Defect, int]
    """How often each defect occurs; those that do not count 0."""
    findings: tuple[Finding, ...]
    """Each defect found, the first 1,000 of them."""
    repaired: bool
    """Whether the defects were mended."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or all that was is mended."""
        return self.repaired or not any(self.counts.values())

    def __repr__(self) -> str:
        found = ", ".join(f"{n} {defect.value}" for defect, n in self.counts.items() if n)
        mended = ", repaired" if found and self.repaired else ""
        seen = f"{self.records} records, {sum(self.vectors.values())} vectors"
        return f"<VerifyReport {seen}: {found or 'all is well'}{mended}>"
