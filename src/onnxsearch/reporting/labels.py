"""What a report says of hits and queries, safe to put into HTML."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

from onnxsearch.search.query import Query
from onnxsearch.types import Hit

if TYPE_CHECKING:
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import ImageInput


def escaped(text: str) -> str:
    """Return `text` as HTML shows it: never a tag, a quote or invalid Unicode."""
    return html.escape(valid(text), quote=True)


def valid(text: str) -> str:
    """Return `text` with what is no valid Unicode, as in some file names, escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_of(hit: Hit) -> str:
    """Return the short name of a hit: of a file its name without folders."""
    return hit.id if hit.uri is None else os.path.basename(hit.uri) or hit.uri


def query_name(query: QueryInput) -> str:
    """Return what a report calls the query."""
    if isinstance(query, Query):
        return str(query)
    if isinstance(query, str | os.PathLike):
        return os.path.basename(os.fspath(query))
    return "a picture"


def query_picture(query: QueryInput) -> ImageInput | None:
    """Return the picture that the query is, if it is one."""
    return None if isinstance(query, Query) else query
