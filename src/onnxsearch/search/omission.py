"""Images that a search leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxsearch._internal.paths import absolute_path
from onnxsearch.catalog.records import RecordIndex
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.images.image_file import content_hash, read_image_file
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.search.query import ExamplesQuery, IdQuery, TextQuery, VectorQuery

if TYPE_CHECKING:
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import Record


@dataclass(frozen=True, slots=True)
class Omission:
    """Which stored images a search leaves out: the results are as if they were not stored."""

    ids: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    """Hashes of files; see `Record.content`."""

    def __or__(self, other: Omission) -> Omission:
        return Omission(
            self.ids | other.ids, self.uris | other.uris, self.contents | other.contents
        )

    def __len__(self) -> int:
        return len(self.ids) + len(self.uris) + len(self.contents)

    def holds(self, record: Record) -> bool:
        """Return whether an image is left out."""
        return record.id in self.ids or record.uri in self.uris or record.content in self.contents


NOTHING = Omission()


def own_images(query: QueryInput, records: RecordIndex, reading: ReadPolicy) -> Omission:
    """Return the stored images that a query is itself, and their copies.

    These are the image of an id, the image of a file at the same path, and all images whose
    files have the same bytes. Of examples, all are meant; texts and vectors among them are
    not images.

    Raises:
        InvalidArgumentError: The query is no image, or an image without the bytes of a file.
        ImageError: A file cannot be read.
    """
    match query:
        case IdQuery(wanted):
            stored = records.find([wanted]).get(wanted)
            content = stored.record.content if stored else None
            return Omission(frozenset([wanted]), contents=_contents([content]))
        case TextQuery() | VectorQuery():
            raise InvalidArgumentError(
                "exclude_query=True: a text or a vector is not a stored image. Leave it out, or "
                "name the images with exclude=[...]"
            )
        case ExamplesQuery(like, unlike):
            images = [q for q in (*like, *unlike) if not isinstance(q, TextQuery | VectorQuery)]
            omission = NOTHING
            for image in images:
                omission |= own_images(image, records, reading)
            return omission
        case str() | os.PathLike():
            path = absolute_path(query)
            file = read_image_file(path, reading)
            return Omission(uris=frozenset([path]), contents=_contents([file.content]))
        case bytes() | bytearray():
            return Omission(contents=_contents([content_hash(bytes(query))]))
        case _:
            raise InvalidArgumentError(
                f"exclude_query=True cannot tell which stored image a query of type "
                f"{type(query).__name__} is: pass the file or its bytes, or Query.id('...')"
            )


def _contents(hashes: Iterable[str | None]) -> frozenset[str]:
    return frozenset(hash for hash in hashes if hash is not None)
