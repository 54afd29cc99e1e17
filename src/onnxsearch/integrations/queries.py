"""Queries that frameworks pass as text, and what their documents say of a hit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.validation import choice, text
from onnxsearch.images.formats import HEAD, image_format
from onnxsearch.search.query import Query

if TYPE_CHECKING:
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import Hit, JSONValue

QueryKind: TypeAlias = Literal["words", "id", "path"]
"""What the text of a query is: a description, the id of a stored image, or the path of an image.
A text never decides this itself, so that words from a stranger do not open a file."""

QUERY_KINDS: tuple[QueryKind, ...] = get_args(QueryKind)


def as_query(words: str, kind: QueryKind) -> QueryInput:
    """Return the query that a text is.

    Raises:
        InvalidArgumentError: The text is empty or no string, or `kind` is none of the kinds.
    """
    match choice("query_kind", kind, QUERY_KINDS):
        case "words":
            return Query.text(words)
        case "id":
            return Query.id(words)
        case "path":
            return Path(text("query", words, "the path of an image"))


def hit_fields(hit: Hit) -> dict[str, JSONValue]:
    """Return what a document says of its image: its metadata, and how it was found.

    The fields `id`, `path`, `distance`, `score`, `similarity` and `model` take the place of
    metadata of the same names.
    """
    return {
        **hit.metadata,
        "id": hit.id,
        "path": hit.uri,
        "distance": hit.distance,
        "score": hit.score,
        "similarity": hit.similarity,
        "model": hit.model,
    }


def hit_text(hit: Hit, field: str | None) -> str | None:
    """Return the text of a hit's metadata field, None where it has none."""
    found = None if field is None else hit.metadata.get(field)
    return found if isinstance(found, str) else None


def image_path(hit: Hit) -> str | None:
    """Return the path of the hit's file if it is an image file by its first bytes.

    Frameworks open what a document names and send it to a language model. A record may come
    from an index of somebody else, and name any file of this machine.
    """
    if hit.uri is None or not Path(hit.uri).is_file():
        return None
    try:
        with open_to_read(hit.uri) as file:
            return hit.uri if image_format(file.read(HEAD)) else None
    except OSError:
        return None
