"""Regions: vectors of the parts of an image, from the same run of the model as its own vector.

The regions are squares of a third of the side of the model's feature map, which overlap as those
of R-MAC (Tolias, Sicre and Jegou, Particular object retrieval with integral max-pooling of CNN
activations, 2016). What differs was measured on collages, see `benchmarks.regions`: the mean of a
region instead of its maximum; its square root, as in RootSIFT (Arandjelovic and Zisserman, Three
things everyone should know to improve object retrieval, 2012); no whitening, which has to be
learnt; and a map before the last one, which keeps twice the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnxsearch.embedders.base import Embedder, Tensor, unit_vectors
from onnxsearch.types import Metric, Region, Vectors

if TYPE_CHECKING:
    from PIL import Image

    from onnxsearch.images.reading import ReadPolicy
    from onnxsearch.types import ImageInput

Floats = NDArray[np.float32]

SIDE = 3
"""A region's side is one of so many of the map: its area is a ninth of what the model sees."""
_PLACES = 7
"""Regions in a row and in a column."""
COUNT = _PLACES * _PLACES
DIMENSION = 192
"""Numbers in the vector of a region. All 49 take some 7 times the space of 1,280 numbers."""
_REVISION = 1
"""Part of the fingerprint: to be changed with everything here that changes vectors."""


_ENDING = ".regions"


def regions_name(model: str) -> str:
    """Return the name by which the regions of a model are stored and searched."""
    return model + _ENDING


def model_of_regions(name: str) -> str | None:
    """Return the model of whose regions this is the name; None if it is another name."""
    return name.removesuffix(_ENDING) if name.endswith(_ENDING) else None


@runtime_checkable
class Regional(Protocol):
    """Protocol of embedders that can give the vectors of regions with those of images."""

    @property
    def regions(self) -> RegionModel | None:
        """The vectors of regions; None if they are not wanted."""
        ...

    def embed_with_map(self, tensors: Sequence[Tensor]) -> tuple[Vectors, Tensor]:
        """Return the vectors of n images, and their feature maps (n, channels, height, width)."""
        ...

    def seen_part(self, image: Image.Image) -> Region:
        """Return the part of an image that the model sees, see `PreprocessingProfile.seen_part`."""
        ...


@runtime_checkable
class SearchedByRegion(Protocol):
    """Protocol of embedders that store several vectors of each image, one for each region.

    A query has one vector, and the nearest region of an image counts.
    """

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in the vector of a query, and of a region."""
        ...

    @property
    def regions_stored(self) -> int:
        """Regions in a stored row, which begins with their vectors, one after the other."""
        ...

    def nearest_region(self, row: Vectors, query: Vectors) -> tuple[float, Region]:
        """Return the distance of the region of a stored row that is nearest, and where it is."""
        ...


def searched_by_region(embedder: Embedder) -> SearchedByRegion | None:
    """Return an embedder as one that is searched by region; None if it is not."""
    return embedder if isinstance(embedder, SearchedByRegion) else None


def regions_of(embedder: Embedder) -> RegionModel | None:
    """Return the vectors of regions that an embedder gives; None if it gives none."""
    return embedder.regions if isinstance(embedder, Regional) else None


def spaces_of(embedder: Embedder) -> list[str]:
    """Return the names of the collections that an embedder fills: its own, and of its regions."""
    regions = regions_of(embedder)
    return [embedder.name] if regions is None else [embedder.name, regions.name]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An image as a model takes it."""

    tensor: Tensor
    seen: Region | None = None
    """The part of the image that the model sees, if vectors of regions are wanted."""


def model_input(embedder: Embedder, image: Image.Image) -> ModelInput:
    """Return an open image as the embedder takes it.

    Raises:
        ImageError: The image cannot be used.
    """
    regional = isinstance(embedder, Regional) and embedder.regions is not None
    seen = embedder.seen_part(image) if regional else None  # type: ignore[attr-defined]
    return ModelInput(embedder.prepare(image), seen)


def embed_inputs(embedder: Embedder, images: Sequence[ModelInput]) -> dict[str, Vectors]:
    """Return the vectors of images, a row for each, by the name of their collection.

    Raises:
        EmbeddingError: The model gave no usable vectors.
    """
    tensors = [image.tensor for image in images]
    if not isinstance(embedder, Regional) or embedder.regions is None:
        return {embedder.name: embedder.embed_tensors(tensors)}
    vectors, maps = embedder.embed_with_map(tensors)
    seen = [image.seen or Region(0.0, 0.0, 1.0, 1.0) for image in images]
    return {embedder.name: vectors, embedder.regions.name: embedder.regions.rows(maps, seen)}


class RegionModel(Embedder):
    """The regions of another embedder's images, as a model that is searched.

    A stored image is a row of `COUNT` unit vectors and of the place of each. A query is embedded
    as a region of another image would be: shrunk to the size of one, on a grey ground.

    Args:
        whole: The embedder of whole images.
        canvas: (height, width) of an image that `whole` does not resize.
        size: (height, width) that it feeds its model.
        layer: What identifies the feature map.
    """

    metric = Metric.L2
    regions_stored = COUNT
    columns_stored = (COUNT + 1) * DIMENSION
    """Columns of a row: the regions, and the part of the image that the model sees."""

    def __init__(
        self, whole: Embedder, canvas: tuple[int, int], size: tuple[int, int], layer: str
    ) -> None:
        self._whole = whole
        self._canvas = canvas
        self._size = size
        self._layer = layer

    @property
    def name(self) -> str:
        return regions_name(self._whole.name)

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def fingerprint(self) -> str:
        return f"{self._whole.fingerprint}+regions={_REVISION}:{self._layer}"

    def reading_for(self, policy: ReadPolicy) -> ReadPolicy:
        return self._whole.reading_for(policy)

    def prepare(self, image: ImageInput) -> Tensor:
        """Return the tensor of an image of the size of a region, in the middle of grey.

        Raises:
            ImageError: The image cannot be used.
        """
        return self._whole.prepare(_on_grey(image, self._canvas, self._size))

    def run(self, batch: Tensor) -> Tensor:
        if not isinstance(self._whole, Regional):  # pragma: no cover
            raise TypeError(self._whole)
        if not len(batch):
            return np.empty((0, DIMENSION), np.float32)
        _, maps = self._whole.embed_with_map(list(batch))
        height, width = maps.shape[2:]
        rows, columns = _side(height), _side(width)
        top, left = (height - rows) // 2, (width - columns) // 2
        middle = maps[:, :, top : top + rows, left : left + columns]
        return _reduced(middle.mean((2, 3), dtype=np.float32), self.name)

    def rows(self, maps: Tensor, seen: Sequence[Region]) -> Vectors:
        """Return the rows that are stored of n images, (n, `columns_stored`) float32.

        Args:
            maps: Their feature maps, (n, channels, height, width).
            seen: For each the part that the model sees.

        Raises:
            EmbeddingError: The map of an image holds NaN or infinity.
        """
        number, channels, height, width = maps.shape
        # One product of two matrices takes a quarter of the time of a stack of products.
        cells = maps.reshape(number * channels, height * width).astype(np.float32)
        means = (cells @ _averages(height, width)).reshape(number, channels, COUNT)
        vectors = _reduced(means.transpose(2, 0, 1).reshape(-1, channels), self.name)
        places = np.zeros((len(maps), DIMENSION), np.float32)
        places[:, :4] = seen
        # Which window is where depends on the map, whose size an image may decide.
        places[:, 4:6] = maps.shape[2:]
        regions = vectors.reshape(COUNT, len(maps), DIMENSION).transpose(1, 0, 2)
        return np.concatenate([regions.reshape(len(maps), -1), places], axis=1)

    def nearest_region(self, row: Vectors, query: Vectors) -> tuple[float, Region]:
        """Return the distance of the region of a stored row that is nearest, and where it is."""
        parts = row[: COUNT * DIMENSION].reshape(COUNT, DIMENSION)
        distances = np.linalg.norm(parts.astype(np.float64) - query, axis=1)
        best = int(distances.argmin())
        left, top, right, bottom, height, width = row[COUNT * DIMENSION :][:6].tolist()
        window = _windows(int(height), int(width))[best]
        across, down = (right - left) / width, (bottom - top) / height
        edges = (
            left + window[0] * across,
            top + window[1] * down,
            left + window[2] * across,
            top + window[3] * down,
        )
        # A border that the profile adds is no part of the image.
        return float(distances[best]), Region(*(min(1.0, max(0.0, edge)) for edge in edges))


@cache
def _windows(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Return (left, top, right, bottom) of each region in cells of a map."""
    return [
        (left, top, left + _side(width), top + _side(height))
        for top in _starts(height)
        for left in _starts(width)
    ]


@cache
def _averages(height: int, width: int) -> Floats:
    """Return the matrix (cells, regions) whose product with a map is the mean of each region."""
    weights = np.zeros((height, width, COUNT), np.float32)
    for place, (left, top, right, bottom) in enumerate(_windows(height, width)):
        weights[top:bottom, left:right, place] = 1 / ((bottom - top) * (right - left))
    return weights.reshape(-1, COUNT)


def _side(length: int) -> int:
    return max(1, round(length / SIDE))


def _starts(length: int) -> list[int]:
    """Return where the regions of a row begin: the first and the last one touch the ends."""
    return [round(place * (length - _side(length)) / (_PLACES - 1)) for place in range(_PLACES)]


def _reduced(means: Tensor, model: str) -> Floats:
    """Return the means of regions (n, channels) as unit vectors (n, `DIMENSION`).

    Raises:
        EmbeddingError: One holds NaN or infinity.
    """
    values = means.astype(np.float32)
    rooted = np.sign(values) * np.sqrt(np.abs(values))
    # A part in which nothing is, such as of a black image, is like all others of its kind.
    rooted[~rooted.any(axis=1)] = 1.0
    reduced: Floats = unit_vectors(rooted @ _projection(values.shape[1]), model).astype(np.float32)
    return reduced


@cache
def _projection(channels: int) -> Floats:
    """Return a random matrix (channels, `DIMENSION`), which keeps angles roughly.

    Johnson and Lindenstrauss, Extensions of Lipschitz mappings into a Hilbert space, 1984. The
    stream of `RandomState` is the same in all releases of numpy.
    """
    random = np.random.RandomState(channels).standard_normal((channels, DIMENSION))
    projection: Floats = (random / np.sqrt(DIMENSION)).astype(np.float32)
    return projection


def _on_grey(image: ImageInput, canvas: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Return an image of the size of a region in the middle of a grey one."""
    from PIL import Image as PillowImage

    from onnxsearch.images.conversion import AS_SEEN, to_rgb
    from onnxsearch.images.reading import open_image

    upright = to_rgb(open_image(image), AS_SEEN)
    area = size[0] * size[1] / SIDE**2
    aspect = upright.width / upright.height
    width = max(1, min(canvas[1], round((area * aspect) ** 0.5)))
    height = max(1, min(canvas[0], round((area / aspect) ** 0.5)))
    ground = PillowImage.new("RGB", (canvas[1], canvas[0]), _GREY)
    shrunk = upright.resize((width, height), PillowImage.Resampling.BICUBIC)
    ground.paste(shrunk, ((canvas[1] - width) // 2, (canvas[0] - height) // 2))
    return ground


_GREY = (127, 127, 127)
"""The middle of the range, which most profiles turn into numbers near 0."""
