"""AlbumMap: all images of an album in a plane."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from onnxsearch._internal.tables import Tabular
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.reporting.map_drawing import MapCluster, MapDrawing, MapImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxsearch.types import JSONValue, Record

_SHOWN = 10
"""Clusters that the text form names."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class AlbumMap(Tabular):
    """A place in a plane for each image, so that similar images are near each other.

    Only neighbourhoods mean something: neither the axes nor large distances do. A notebook shows
    the map as a drawing.
    """

    records: tuple[Record, ...]
    """The images, in the order of their ids."""
    xy: NDArray[np.float32]
    """The place of each image, (n, 2), between -1 and 1."""
    clusters: NDArray[np.int32]
    """The number of each image's cluster, (n,): 0 is the largest cluster, -1 stands for none."""
    medoids: tuple[str, ...]
    """For each cluster the id of the image in its middle."""
    labels: tuple[str, ...]
    """For each cluster a name, such as a folder or a value of the metadata that its images share
    and others lack; "cluster 3" if there is none."""
    model: str
    """The model whose vectors were compared."""
    reading: ReadPolicy = field(default=READ_STRICTLY)
    """How the page opens image files for their thumbnails: the engine's policy."""

    _columns: ClassVar[Mapping[str, str]] = {
        "id": "str",
        "uri": "str | None",
        "x": "float",
        "y": "float",
        "cluster": "int",
        "label": "str | None",
    }

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the images, in order."""
        return tuple(record.id for record in self.records)

    def __len__(self) -> int:
        return len(self.records)

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each image: id, uri, x, y, cluster and label.

        `cluster` is -1, and `label` None, for an image without a cluster.
        """
        places, numbers = self.xy.tolist(), self.clusters.tolist()
        return [
            {
                "id": record.id,
                "uri": record.uri,
                "x": x,
                "y": y,
                "cluster": number,
                "label": self.labels[number] if number >= 0 else None,
            }
            for record, (x, y), number in zip(self.records, places, numbers, strict=True)
        ]

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write an HTML page to explore the map, and return its path.

        The page contains all that it needs and fetches nothing. Thumbnails appear as one zooms in:
        those of all images up to 10,000, and of more those of 10,000 that are spread over the map;
        together 18 MB at most. Images whose file is missing or damaged are drawn without one. An
        existing file is replaced when the new page is complete.

        Raises:
            InvalidArgumentError: The file cannot be written there.
        """
        from onnxsearch.reporting.html_page import write_page
        from onnxsearch.reporting.map_page import map_page

        return write_page(path, map_page(self._drawing(), self.reading))

    def _drawing(self) -> MapDrawing:
        places = {record.id: place for place, record in enumerate(self.records)}
        sizes = Counter(self.clusters.tolist())
        images = tuple(
            MapImage(record.id, record.uri, record.file, record.metadata, x, y, number)
            for record, (x, y), number in zip(
                self.records, self.xy.tolist(), self.clusters.tolist(), strict=True
            )
        )
        clusters = tuple(
            MapCluster(label, places[medoid], sizes[number])
            for number, (label, medoid) in enumerate(zip(self.labels, self.medoids, strict=True))
        )
        return MapDrawing(images, clusters, self.model)

    def _repr_html_(self) -> str:
        from onnxsearch.reporting.scatter import scatter

        return scatter(self._drawing())

    def __repr__(self) -> str:
        sizes = Counter(self.clusters.tolist())
        head = f"<AlbumMap {len(self)} images, {len(self.labels)} clusters, model {self.model!r}>"
        lines = [
            f"  {sizes[number]:6}  {label}" for number, label in enumerate(self.labels[:_SHOWN])
        ]
        if len(self.labels) > _SHOWN:
            lines.append(f"  ... {len(self.labels) - _SHOWN} more")
        return "\n".join([head, *lines])
