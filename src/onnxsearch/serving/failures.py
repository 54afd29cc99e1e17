"""Which error becomes which status code."""

from __future__ import annotations

import logging
from collections.abc import Collection
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from onnxsearch.errors import (
    ClosedError,
    ImageTooLargeError,
    OnnxSearchError,
    StoreError,
    UnsupportedImageError,
)
from onnxsearch.serving.answers import RETRY_SECONDS, Problem

_LOG = logging.getLogger(__name__)

# The first class that an error belongs to counts. All others stand for a request that is well
# formed, and that this index cannot answer: an unknown model or id, a damaged image.
_STATUSES: tuple[tuple[type[OnnxSearchError], HTTPStatus], ...] = (
    (ImageTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedImageError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ClosedError, HTTPStatus.SERVICE_UNAVAILABLE),
)

# What the engine calls by another name than the service.
_RENAMED = {"limit": "top_k", "query": "image"}


def problem_of(error: OnnxSearchError, arguments: Collection[str] = ()) -> Problem:
    """Return the refusal that an error of the library stands for.

    Args:
        error: The error.
        arguments: Names of the parameters of the request. Messages begin with the name of
            the argument at fault.
    """
    status = next(
        (status for kind, status in _STATUSES if isinstance(error, kind)),
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    unavailable = status is HTTPStatus.SERVICE_UNAVAILABLE
    if unavailable:
        _LOG.warning("a store failed: %s", error)
    word = str(error).partition(" ")[0]
    name = _RENAMED.get(word, word)
    return Problem(
        status,
        str(error),
        argument=name if name in arguments else None,
        error=type(error).__name__,
        headers={"Retry-After": str(RETRY_SECONDS)} if unavailable else {},
    )


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a refusal."""
    del request
    assert isinstance(error, Problem)
    return error.response()


async def on_library_error(request: Request, error: Exception) -> Response:
    """Answer an error of the library."""
    assert isinstance(error, OnnxSearchError)
    return problem_of(error, request.scope.get("onnxsearch.arguments", ())).response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, or another method."""
    assert isinstance(error, HTTPException)
    if request.method == "OPTIONS" and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=error.headers)
    status = HTTPStatus(error.status_code)
    detail = {
        HTTPStatus.NOT_FOUND: "there is nothing at this path: GET /openapi.json lists all paths",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method[:20]} is not allowed here: the header "
        "Allow names the methods that are",
    }.get(status, error.detail)
    return Problem(status, detail, headers=error.headers).response()


async def on_disconnect(request: Request, error: Exception) -> Response:
    """End a request whose client has left; nobody receives the answer."""
    del request, error
    detail = "the request ended before it was complete"
    return Problem(HTTPStatus.BAD_REQUEST, detail).response()


async def on_defect(request: Request, error: Exception) -> Response:
    """Answer an unexpected error without its details, which may hold secrets."""
    operation = request.scope.get("onnxsearch.operation", "a request")
    _LOG.error("%s failed", operation, exc_info=error)
    detail = "an unexpected error, which the log of the service describes: please report it"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail).response()


HANDLERS = {
    Problem: on_problem,
    OnnxSearchError: on_library_error,
    HTTPException: on_http_error,
    ClientDisconnect: on_disconnect,
    Exception: on_defect,
}
"""What answers which exception."""
