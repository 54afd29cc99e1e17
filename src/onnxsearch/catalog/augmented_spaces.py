"""The augmented spaces of a namespace: what each was made with, and how far it is.

A cell for each space, beside cells with the neighbours that its vectors were moved towards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import check_name, integer
from onnxsearch.catalog.keys import new_key
from onnxsearch.catalog.records import Change
from onnxsearch.errors import InvalidArgumentError, StoreCorruptError
from onnxsearch.metadata.base import Cell, MetadataStore
from onnxsearch.types import Metric
from onnxsearch.vectors.base import is_key

_ENDING = ":augmented"
_FORMAT = 1
MOST_NEIGHBOURS = 100
"""Neighbours of an image that count, at most."""
MOST_ALPHA = 100.0
_MOST_COLUMNS = 2**20
_PART = 1 << 22
"""Bytes of a cell with neighbours: an eighth of what a commit takes."""


def augmented_name(model: str) -> str:
    """Return the name by which the augmented space of a model is searched.

    The name of no embedder has a colon.
    """
    return model + _ENDING


def is_augmented(name: str) -> bool:
    """Return whether a name is that of an augmented space."""
    return name.endswith(_ENDING)


def model_below(name: str) -> str:
    """Return the model that an augmented space is made of."""
    return name.removesuffix(_ENDING)


@dataclass(frozen=True, slots=True, eq=False)
class AugmentedSpace:
    """What an augmented space was made with."""

    model: str
    """The model that it is made of."""
    below: str
    """Fingerprint of that model's collection."""
    metric: Metric
    neighbours: int
    alpha: float
    mean: NDArray[np.float32]
    """Mean of the album when the space was begun, (dimension,)."""
    images: int
    """Number of images that the mean is of."""
    changes: int = 0
    """Images that came or went since, as far as refreshes have seen."""
    graph: str | None = None
    """Token of the cells with the neighbours; None until all images have been moved."""
    parts: int = 0
    """Number of these cells."""
    writer: str | None = None
    """Token of the call that is writing vectors, or was cut off; None if none is."""

    @property
    def name(self) -> str:
        """The name by which it is searched."""
        return augmented_name(self.model)

    @property
    def fingerprint(self) -> str:
        """Identifies the space: the model's vectors, and what is done with them."""
        made_with = f"augmented-1 {self.below} {self.neighbours} {self.alpha!r} "
        return hashlib.sha256(made_with.encode() + self.mean.astype("<f4").tobytes()).hexdigest()

    @property
    def is_ready(self) -> bool:
        """Whether it can be searched."""
        return self.graph is not None

    def is_made_like(self, other: AugmentedSpace) -> bool:
        """Return whether both move the same vectors in the same way, but for the mean."""
        return (self.below, self.metric, self.neighbours, self.alpha) == (
            other.below,
            other.metric,
            other.neighbours,
            other.alpha,
        )


class AugmentedSpaces:
    """The augmented spaces of one namespace.

    Args:
        metadata: Holds the cells.
        namespace: Prefix of the table's name.
    """

    def __init__(self, metadata: MetadataStore, namespace: str) -> None:
        self._metadata = metadata
        self._table = f"{namespace}:augmentation"

    def of(self, models: Iterable[str]) -> list[AugmentedSpace]:
        """Return the spaces of these models, searched or not.

        Raises:
            StoreCorruptError: What the index says of a space cannot be read.
        """
        wanted = [model for model in dict.fromkeys(models) if not is_augmented(model)]
        cells = self._metadata.get_many(self._table, wanted)
        return [
            _decoded(data, model)
            for model, data in zip(wanted, cells, strict=True)
            if data is not None
        ]

    def all(self) -> list[AugmentedSpace]:
        """Return all spaces, in the order of their models' names."""
        models = {key for key, _ in self._metadata.items(self._table) if "/" not in key}
        return self.of(sorted(models))

    def replace(self, before: AugmentedSpace | None, after: AugmentedSpace) -> bool:
        """Write what a space is made with; return False if it is not `before` any more."""
        cell = Cell(self._table, after.model)
        expected = None if before is None else _encoded(before)
        return self._metadata.commit({cell: _encoded(after)}, expect={cell: expected})

    def write_graph(self, model: str, data: bytes) -> tuple[str, int]:
        """Store neighbours beside those that are there; return their token and cells."""
        token, parts = new_key(), range(0, len(data), _PART)
        for number, start in enumerate(parts):
            part = data[start : start + _PART]
            self._metadata.commit({Cell(self._table, f"{model}/{token}/{number}"): part})
        return token, len(parts)

    def graph(self, space: AugmentedSpace) -> bytes | None:
        """Return the neighbours of a space; None if it has none, or lost some of them."""
        if space.graph is None:
            return None
        keys = [f"{space.model}/{space.graph}/{number}" for number in range(space.parts)]
        found = [self._metadata.get(self._table, key) for key in keys]
        return b"".join(part for part in found if part is not None) if all(found) else None

    def forget_graphs(self, space: AugmentedSpace) -> None:
        """Delete all neighbours of a space but those that it names."""
        kept = f"{space.model}/{space.graph}/"
        stray = [key for key in self._graph_keys(space.model) if not key.startswith(kept)]
        for key in stray:
            self._metadata.commit({Cell(self._table, key): None})

    def without(self, name: str) -> Change:
        """Return the change that takes a space out; nothing for the name of a model."""
        if not is_augmented(name):
            return Change()
        model = model_below(name)
        keys = [model, *self._graph_keys(model)]
        return Change({Cell(self._table, key): None for key in keys})

    def _graph_keys(self, model: str) -> Iterator[str]:
        for key, _ in self._metadata.items(self._table):
            if key.startswith(f"{model}/"):
                yield key


def _encoded(space: AugmentedSpace) -> bytes:
    values = {
        "format": _FORMAT,
        "below": space.below,
        "metric": space.metric.value,
        "neighbours": space.neighbours,
        "alpha": space.alpha,
        "mean": base64.b64encode(space.mean.astype("<f4").tobytes()).decode("ascii"),
        "images": space.images,
        "changes": space.changes,
        "graph": space.graph,
        "parts": space.parts,
        "writer": space.writer,
    }
    return json.dumps(values, separators=(",", ":"), sort_keys=True).encode("ascii")


def _decoded(data: bytes, model: str) -> AugmentedSpace:
    try:
        values = json.loads(data)
        if values["format"] != _FORMAT:
            raise StoreCorruptError(
                f"the augmented space of model {model!r} is of format {values['format']!r:.20}, "
                f"this onnxsearch writes {_FORMAT}: use the onnxsearch that made it, or "
                f"drop_model({augmented_name(model)!r}) and augment again"
            )
        mean = np.frombuffer(base64.b64decode(values["mean"], validate=True), "<f4")
        alpha = float(values["alpha"])
        if not (0 <= alpha <= MOST_ALPHA and np.isfinite(mean).all()):
            raise ValueError("a number is not what it can be")
        if not 0 < len(mean) <= _MOST_COLUMNS:
            raise ValueError(f"the mean has {len(mean)} numbers")
        return AugmentedSpace(
            model=check_name(model),
            below=_text(values["below"]),
            metric=Metric(values["metric"]),
            neighbours=integer("neighbours", values["neighbours"], least=1, most=MOST_NEIGHBOURS),
            alpha=alpha,
            mean=mean.astype(np.float32),
            images=integer("images", values["images"], least=1),
            changes=integer("changes", values["changes"], least=0),
            graph=_optional_key(values["graph"]),
            parts=integer("parts", values["parts"], least=0, most=10_000),
            writer=_optional_key(values["writer"]),
        )
    except (
        ArithmeticError, InvalidArgumentError, LookupError, RecursionError, TypeError, ValueError
    ) as error:  # fmt: skip
        raise StoreCorruptError(
            f"what the index says of the augmented space of model {model!r:.200} cannot be read: "
            f"{error!s:.200}. Another program writes under the same prefix, or the store is "
            f"damaged. drop_model({augmented_name(model)!r:.200}) and augment again"
        ) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not a text")
    return value


def _optional_key(value: object) -> str | None:
    if value is not None and not is_key(value):
        raise ValueError(f"{value!r:.80} is not a key")
    return None if value is None else str(value)


def encode_graph(
    keys: Sequence[str], places: NDArray[np.int32], similarities: NDArray[np.float32]
) -> bytes:
    """Return neighbours as bytes: the keys of all images, and for each its neighbours."""
    names = bytes.fromhex("".join(keys))
    return names + places.astype("<i4").tobytes() + similarities.astype("<f4").tobytes()


def decode_graph(
    data: bytes, count: int
) -> tuple[list[str], NDArray[np.int32], NDArray[np.float32]] | None:
    """Return what `encode_graph` was given; None if these are not such bytes.

    Args:
        data: The bytes.
        count: Neighbours of an image.
    """
    size = 16 + 8 * count
    rows = len(data) // size
    if not rows or rows * size != len(data):
        return None
    names, shape = data[: 16 * rows].hex(), (rows, count)
    places = np.frombuffer(data, "<i4", rows * count, 16 * rows).reshape(shape).astype(np.int32)
    similarities = np.frombuffer(data, "<f4", rows * count, (16 + 4 * count) * rows)
    likely = places.min() >= -1 and places.max() < rows and not np.isnan(similarities).any()
    keys = [names[start : start + 32] for start in range(0, len(names), 32)]
    return (keys, places, similarities.reshape(shape).astype(np.float32)) if likely else None


def most_changes(images: int) -> int:
    """Return how many images may come or go before the mean is taken anew: a tenth."""
    return math.ceil(images / 10)
