"""What an index is: its models, its stores and how much they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from onnxsearch._internal.version import VERSION
from onnxsearch.catalog.augmented_spaces import AugmentedSpace, decode_graph
from onnxsearch.embedders.description import ModelDescription
from onnxsearch.embedders.regions import regions_name
from onnxsearch.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from onnxsearch.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True, repr=False)
class ModelInfo(ModelDescription):
    """A model of an index, as it was described when the index was last opened with it."""

    vectors: int = 0
    """Number of vectors that are stored. A migration or a removal that was cut off may have
    left some that no search returns."""
    regions: int | None = None
    """Number of images whose regions are stored beside them; None for a model without regions."""

    @property
    def region_model(self) -> str | None:
        """The name by which its regions are searched; None for a model without regions."""
        return None if self.regions is None else regions_name(self.name)

    def __repr__(self) -> str:
        file = self.file.name if self.file is not None and self.file.name else self.class_name
        profile = f", profile {self.profile}" if self.profile else ""
        text = ", with a text model" if self.text is not None else ""
        regions = "" if self.regions is None else f", regions of {self.regions:,} images"
        return (
            f"{self.name}: {self.vectors:,} vectors of {self.dimension:,} "
            f"({self.metric.value}), {file}{profile}{text}{regions}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class AugmentedInfo:
    """Vectors that `SearchEngine.augment` has made."""

    name: str
    """The name by which they are searched."""
    model: str
    """The model of whose vectors they are made."""
    neighbours: int
    alpha: float
    vectors: int
    """Number of vectors that are stored."""
    is_ready: bool
    """Whether they can be searched. If not, `augment` was cut off, or is at work."""
    added: int
    """Images that came since the last `augment`: they are found, but have moved no others.
    A change of the metadata makes an image a new one."""
    removed: int
    """Images that are gone since: they are not found, but the others are as they moved them."""

    def __repr__(self) -> str:
        if not self.is_ready:
            return f"{self.name}: not finished; augment({self.model!r}) continues"
        return (
            f"{self.name}: {self.vectors:,} vectors, {self.added:,} images added and "
            f"{self.removed:,} removed since"
        )


@dataclass(frozen=True, slots=True, repr=False)
class IndexInfo:
    """What `SearchEngine.info` returns.

    Example:
        >>> engine.info()
        namespace onnxsearch: 6 images
          efficientnet-lite2: 6 vectors of 1,280 (l2), efficientnet-lite2.int8.onnx, ...
    """

    namespace: str
    images: int
    """Number of stored images."""
    models: tuple[ModelInfo, ...]
    """The models that the index remembers, the default one first."""
    vectors: str
    """The store of the vectors, without secrets."""
    records: str
    """The store of the records, without secrets."""
    identity: str | None = None
    """Identity that both stores share; None if no engine has opened them yet."""
    root: str | None = None
    """The folder that paths are stored relative to; None for an index without one."""
    others: Mapping[str, int] = field(default_factory=dict[str, int])
    """Numbers of vectors of models that the index does not remember, by collection: an
    earlier version stored them, or another index was copied."""
    augmented: tuple[AugmentedInfo, ...] = ()
    """What `SearchEngine.augment` has made of models."""
    version: str = VERSION
    """The version of onnxsearch that reports."""

    def __repr__(self) -> str:
        lines = [f"namespace {self.namespace}: {self.images:,} images"]
        lines += [repr(model) for model in self.models]
        lines += [repr(space) for space in self.augmented]
        lines += [
            f"{name}: {count:,} vectors, model unknown" for name, count in self.others.items()
        ]
        lines += [] if self.root is None else [f"paths relative to {self.root!r}"]
        lines += [f"vectors in {self.vectors}", f"records in {self.records}"]
        return "\n  ".join(lines)


def index_info(catalog: Catalog) -> IndexInfo:
    """Return what the index of a catalog is; no model is needed.

    Raises:
        StoreCorruptError: What the index says of its models cannot be read.
        StoreError: A store failed.
    """
    models = catalog.manifest.models()
    spaces = catalog.spaces.all()
    names = [model.name for model in models]
    names += [regions_name(name) for name in names] + [space.name for space in spaces]
    known = {catalog.collection(name) for name in names}
    others = [name for name in catalog.collections() if name not in known]
    return IndexInfo(
        namespace=catalog.namespace,
        images=catalog.records.count(),
        models=tuple(_model_info(catalog, model) for model in models),
        vectors=repr(catalog.vectors),
        records=repr(catalog.metadata),
        identity=catalog.identity.known(),
        root=catalog.records.root.read().path,
        others={name: catalog.vectors.count(name) for name in others},
        augmented=tuple(_augmented_infos(catalog, spaces)),
    )


def _augmented_infos(catalog: Catalog, spaces: Sequence[AugmentedSpace]) -> Iterator[AugmentedInfo]:
    """Yield what is known of each space; all records are read once."""
    present: dict[str, set[str]] = {space.model: set() for space in spaces}
    for image in catalog.records.images() if spaces else ():
        for model in present.keys() & set(image.record.models):
            present[model].add(image.key)
    for space in spaces:
        yield _augmented_info(catalog, space, present[space.model])


def _augmented_info(catalog: Catalog, space: AugmentedSpace, present: set[str]) -> AugmentedInfo:
    data = catalog.spaces.graph(space)
    graph = None if data is None else decode_graph(data, space.neighbours)
    moved = set() if graph is None else set(graph[0])
    return AugmentedInfo(
        name=space.name,
        model=space.model,
        neighbours=space.neighbours,
        alpha=space.alpha,
        vectors=_count(catalog, space.name) or 0,
        is_ready=space.is_ready,
        added=len(present - moved),
        removed=len(moved - present),
    )


def _count(catalog: Catalog, model: str) -> int | None:
    """Return how many vectors are stored; None if nothing was ever made for them."""
    with suppress(CollectionNotFoundError):
        return catalog.vectors.count(catalog.collection(model))
    return None


def _model_info(catalog: Catalog, model: ModelDescription) -> ModelInfo:
    values = {each.name: getattr(model, each.name) for each in fields(model)}
    regions = _count(catalog, regions_name(model.name))
    return ModelInfo(**values, vectors=_count(catalog, model.name) or 0, regions=regions)
