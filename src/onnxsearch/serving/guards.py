"""Checks in front of the application: host names, other sites, the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.serving.answers import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SHORTEST_TOKEN = 16

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content Security Policy: the page loads only what comes with it. Images of the index come as
blobs where a token is needed, which an `img` element cannot send."""

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityHeaders:
    """Adds headers to all answers that tell browsers to be careful."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def careful_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, careful_send if scope["type"] == "http" else send)


class Gate:
    """Answers only requests that may be answered.

    - Without a token, a request must be addressed to an IP address, to `localhost`, or to
      one of `hosts`. A page of another site can let its own name point to this machine (DNS
      rebinding), but cannot send another name than its own.
    - Without a token, a request that a browser sends for another site is refused.
    - With a token, paths below `/api/`, and `/metrics`, need it.

    Args:
        app: The application behind the gate.
        token: The token; None if there is none.
        hosts: Host names that the service is reached by.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str]) -> None:
        self._app = app
        self._digest = None if token is None else _digest(token)
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is not None:
            await problem.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        guarded = is_guarded(scope)
        if self._digest is not None:
            return _unauthorized() if guarded and not self._is_authorized(headers) else None
        if not self._knows(headers.get("host", "")):
            return Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"host {headers.get('host', '')!r:.80} is not a name of this service: start it "
                "with --allow-host NAME, or use its IP address",
            )
        if guarded and _is_foreign(headers):
            return Problem(
                HTTPStatus.FORBIDDEN,
                "a page of another site asks: give the service a token, which the page sends as "
                "`Authorization: Bearer ...`",
            )
        return None

    def _is_authorized(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Digests have one length, and are compared in a time that does not depend on them.
        return (
            self._digest is not None
            and scheme.lower() == "bearer"
            and hmac.compare_digest(_digest(token.strip()), self._digest)
        )

    def _knows(self, host: str) -> bool:
        name = _without_port(host).lower().removesuffix(".")
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def is_guarded(scope: Scope) -> bool:
    """Return whether a request asks for what is in the index."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return path.startswith("/api/") or path == "/metrics"


def checked_token(token: str) -> str:
    """Return a token that can be sent in a header, and not be guessed.

    Raises:
        InvalidArgumentError: It cannot, or is too short.
    """
    if not isinstance(token, str):
        raise InvalidArgumentError(f"token of type {type(token).__name__}: expected a text")
    if len(token) < _SHORTEST_TOKEN or not all("!" <= character <= "~" for character in token):
        raise InvalidArgumentError(
            f"token (which is not shown): expected at least {_SHORTEST_TOKEN} letters, digits and "
            'signs without blanks, such as those of `python -c "import secrets; '
            'print(secrets.token_urlsafe())"`'
        )
    return token


def _unauthorized() -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "the token of the service is missing or wrong: send it as `Authorization: Bearer TOKEN`",
        headers={"WWW-Authenticate": 'Bearer realm="onnxsearch"'},
    )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that a page of another site sends the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        # "none" is the address bar; a link elsewhere may lead here, as to any page.
        return site not in ("same-origin", "none") and headers.get("sec-fetch-mode") != "navigate"
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers["host"].lower()
