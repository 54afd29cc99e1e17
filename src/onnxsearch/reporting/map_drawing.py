"""Images in a plane: the input of a map's page and of its drawing in notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsearch.types import Metadata


@dataclass(frozen=True, slots=True)
class MapImage:
    """One image of a map."""

    id: str
    uri: str | None
    path: str | None
    """The image file; None if there is none."""
    metadata: Metadata
    x: float
    y: float
    """Between -1 and 1; y rises upwards."""
    cluster: int
    """The number of its cluster, or -1."""


@dataclass(frozen=True, slots=True)
class MapCluster:
    """One cluster of a map."""

    label: str
    medoid: int
    """Which of the images is in its middle."""
    size: int


@dataclass(frozen=True, slots=True)
class MapDrawing:
    """A map: its images, and its clusters by number."""

    images: tuple[MapImage, ...]
    clusters: tuple[MapCluster, ...]
    model: str

    @property
    def title(self) -> str:
        """What the map shows, in one line."""
        return f"{len(self.images):,} images by {self.model}"
