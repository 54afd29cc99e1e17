"""Answers as JSON, and refusals as problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

from onnxsearch.types import JSONValue

PROBLEM = "application/problem+json"
RETRY_SECONDS = 1
"""Seconds after which a client that found the service busy may try again."""


class Problem(Exception):  # noqa: N818, the name that RFC 9457 gives it
    """A request is refused.

    Args:
        status: The status code of HTTP.
        detail: What was given, what was expected, and what to do.
        argument: The parameter at fault, if it is known.
        error: Name of the class of the error, as callers of the library know it.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        argument: str | None = None,
        error: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.argument = argument
        self.error = error
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the problem document."""
        document: dict[str, JSONValue] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        if self.argument is not None:
            document["argument"] = self.argument
        if self.error is not None:
            document["error"] = self.error
        return json_response(document, status=self.status, media_type=PROBLEM, headers=self.headers)


def bad_request(detail: str, argument: str | None = None) -> Problem:
    """Return the refusal of a request that cannot be understood."""
    return Problem(HTTPStatus.BAD_REQUEST, detail, argument=argument, error="InvalidArgumentError")


def unusable(detail: str, argument: str | None = None) -> Problem:
    """Return the refusal of a request that is well formed, and that this index cannot answer."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, detail, argument=argument, error="InvalidArgumentError"
    )


def not_found(detail: str) -> Problem:
    """Return the refusal of a request for something that is not there."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def no_image(id: str) -> Problem:
    """Return the refusal of a request for an image that is not stored."""
    return not_found(f"no image {id!r:.200} is stored: GET /api/records lists all")


def busy(detail: str) -> Problem:
    """Return the refusal of a request that comes at a bad time."""
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=headers)


def json_response(
    document: Mapping[str, JSONValue],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a JSON document as an answer that nobody stores.

    It is ASCII: ids that are names of files need not be valid Unicode.
    """
    body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")
    return Response(
        body, int(status), {"Cache-Control": "no-store", **(headers or {})}, media_type=media_type
    )
