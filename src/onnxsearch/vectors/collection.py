"""Specification of a collection of vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from onnxsearch._internal.validation import instance, integer
from onnxsearch.errors import InvalidArgumentError, SpaceMismatchError, StoreMismatchError
from onnxsearch.types import Metric

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")
"""Valid names of collections."""


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Specification of a collection. Collections that differ never share a vector."""

    name: str
    """A letter, then up to 199 letters, digits and underscores."""
    dimension: int
    """Numbers in a vector; for `Metric.HAMMING` bits, a multiple of eight."""
    fingerprint: str
    """Identifies the vector space; see `Embedder.fingerprint`."""
    metric: Metric = Metric.L2
    owner: str | None = field(default=None, compare=False)
    """Identity of the records that the vectors belong to; None if it is unknown. It makes
    no difference to what the collection holds."""

    def __post_init__(self) -> None:
        instance("fingerprint", self.fingerprint, str, "a string")
        if self.owner is not None:
            instance("owner", self.owner, str, "a string")
        if not NAME.fullmatch(instance("name", self.name, str, "a string")):
            raise InvalidArgumentError(
                f"collection name {self.name!r}: expected a letter, then at most 199 "
                "letters, digits and underscores"
            )
        if not isinstance(self.metric, Metric):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(
                f"metric {self.metric!r}: expected Metric.L2, Metric.IP, Metric.COSINE or "
                "Metric.HAMMING"
            )
        # One of numpy's integers, out of some array's shape, would not do as JSON or in SQLite.
        object.__setattr__(self, "dimension", integer("dimension", self.dimension, least=1))
        if self.metric is Metric.HAMMING and self.dimension % 8:
            raise InvalidArgumentError(
                f"dimension {self.dimension}: Hamming vectors are packed in bytes, so their "
                "number of bits must be a multiple of 8"
            )

    @property
    def columns(self) -> int:
        """Columns of the matrix that holds such vectors."""
        return self.metric.columns(self.dimension)

    @property
    def dtype(self) -> np.dtype[np.float32 | np.uint8]:
        """Type of the numbers in that matrix."""
        return self.metric.dtype


def check_same(wanted: CollectionSpec, found: CollectionSpec | None) -> None:
    """Raise unless the found collection equals the wanted one.

    Raises:
        SpaceMismatchError: The collection vanished, or holds vectors of another space.
        StoreMismatchError: The vectors belong to other records.
    """
    if found is None:
        raise SpaceMismatchError(f"collection {wanted.name!r} vanished while it was opened")
    if found != wanted:
        raise SpaceMismatchError(_space_mismatch(wanted, found))
    if wanted.owner is not None and found.owner not in (None, wanted.owner):
        raise StoreMismatchError(
            f"collection {wanted.name!r} belongs to records with the identity {found.owner}, and "
            f"is now opened with records of the identity {wanted.owner}. Open it with the records "
            "that it was made with"
        )


def _space_mismatch(wanted: CollectionSpec, found: CollectionSpec) -> str:
    return (
        f"collection {wanted.name!r} holds vectors of another space: it was made with "
        f"dimension {found.dimension}, metric {found.metric.value}, fingerprint "
        f"{found.fingerprint}, and is now opened with dimension {wanted.dimension}, metric "
        f"{wanted.metric.value}, fingerprint {wanted.fingerprint}. The model file, its "
        "preprocessing profile, output, pooling or parameters changed, or images are read with "
        "another ReadPolicy.draft. Open it as it was made: without embedders= and --model, an "
        "index opens with the models that filled it. Or give the embedder another name and index "
        "again."
    )
