"""Ids in URLs: links to images and records, and what a path holds."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from starlette.requests import Request

from onnxsearch.serving.answers import bad_request

RECORDS = "/api/records/"
THUMBNAILS = "/api/thumbnails/"
IMAGES = "/api/images/"
SEARCH = "/api/search"


def quoted_id(id: str) -> str:
    """Return an id in the form in which it is a part of a URL, slashes included.

    Ids that are not valid Unicode, such as some names of files, are their bytes.
    """
    return quote(id, safe="", encoding="utf-8", errors="surrogatepass")


def requested_id(request: Request, prefix: str) -> str:
    """Return the id that follows `prefix` in the path of a request.

    Raises:
        Problem: It is not in UTF-8.
    """
    # The decoded path has lost bytes that are not valid Unicode.
    raw: bytes = request.scope.get("raw_path") or b""
    _, found, rest = raw.partition(b"?")[0].partition(prefix.encode())
    if not found:
        return str(request.path_params["id"])
    try:
        return unquote_to_bytes(rest).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise bad_request("the id in the path is not percent-encoded UTF-8", "id") from error


def root_of(request: Request) -> str:
    """Return the path under which the service is mounted, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")
