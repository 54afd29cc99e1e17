"""An augmented space as a model: what a search, a fusion and an evaluation are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnxsearch.augmentation.derivation import Derivation
from onnxsearch.catalog.augmented_spaces import (
    augmented_name,
    is_augmented,
    model_below,
)
from onnxsearch.embedders.base import Embedder, Tensor
from onnxsearch.errors import StoreCorruptError, UnknownModelError

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog
    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.types import ImageInput, Metric, Vectors


class AugmentedModel(Embedder):
    """Embeds with the model that a space is made of, and moves what it returns.

    Args:
        below: The model.
        derivation: What moves its vectors.
    """

    def __init__(self, below: Embedder, derivation: Derivation) -> None:
        self._below = below
        self._derivation = derivation
        self._space = derivation.space

    @property
    def name(self) -> str:
        return self._space.name

    @property
    def dimension(self) -> int:
        return self._below.dimension

    @property
    def fingerprint(self) -> str:
        return self._space.fingerprint

    @property
    def metric(self) -> Metric:  # type: ignore[override]
        return self._below.metric

    def prepare(self, image: ImageInput) -> Tensor:
        return self._below.prepare(image)

    def run(self, batch: Tensor) -> Tensor:
        return self.embed_tensors([*batch])

    def embed_tensors(self, tensors: Sequence[Tensor]) -> Vectors:
        # Not by `run`, so that the model's work is observed once.
        return self._derivation.derived(self._below.embed_tensors(tensors))

    def check_reading(self, policy: ReadPolicy) -> None:
        self._below.check_reading(policy)

    def reading_for(self, policy: ReadPolicy) -> ReadPolicy:
        return self._below.reading_for(policy)

    def parallel(self, workers: int) -> Embedder:
        return AugmentedModel(self._below.parallel(workers), self._derivation)


def augmented_model(
    catalog: Catalog, name: str, embedders: Mapping[str, Embedder]
) -> Embedder | None:
    """Return the augmented space of that name; None if the name is none of a space.

    The index is asked each time, since another engine may have made or dropped it.

    Raises:
        UnknownModelError: There is no such space, it is not finished, or the engine lacks the
            model that it is made of.
        StoreCorruptError: What the index says of the space cannot be read, or does not fit.
        StoreError: A store failed.
    """
    model = model_below(name)
    if not is_augmented(name) or model not in embedders:
        return None
    spaces = catalog.spaces.of([model])
    if not (spaces and spaces[0].is_ready):
        why = "its augmented space is not finished" if spaces else "it has no augmented space"
        raise UnknownModelError(f"model {model!r} is not augmented, for {why}: augment({model!r})")
    (space,) = spaces
    if len(space.mean) != embedders[model].dimension or space.metric != embedders[model].metric:
        raise StoreCorruptError(
            f"the augmented space of model {model!r} does not fit the model: "
            f"drop_model({augmented_name(model)!r}) and augment again"
        )
    return AugmentedModel(embedders[model], Derivation(catalog, space))
