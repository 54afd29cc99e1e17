"""Limits of load: requests at the same time, bytes and seconds of uploads."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from onnxsearch.serving.answers import Problem, busy
from onnxsearch.serving.guards import is_guarded
from onnxsearch.serving.limits import ServiceLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Admission:
    """Limits how many requests for the index are answered at the same time.

    Args:
        app: The application behind it.
        most: Number of requests, at most.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_guarded(scope):
            await self._app(scope, receive, send)
        elif self._active >= self._most:
            problem = busy(f"{self._active} requests are being answered: try again later")
            await problem.response()(scope, receive, send)
        else:
            self._active += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._active -= 1


class UploadLimits:
    """Limits the bytes of the body of a request, and the time that it takes to arrive.

    The bytes are counted while they arrive, whatever the request says of its length.

    Args:
        app: The application behind it.
        limits: The limits.
    """

    def __init__(self, app: ASGIApp, limits: ServiceLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limits, arrived, complete = self._limits, 0, False
        deadline = time.monotonic() + limits.upload_seconds

        async def limited_receive() -> Message:
            nonlocal arrived, complete
            if complete:  # the application waits for the client to leave
                return await receive()
            patience = min(limits.stall_seconds, deadline - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), patience)
            except TimeoutError:
                raise Problem(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"the body of the request did not arrive within {limits.upload_seconds:g} s, "
                    f"or nothing of it within {limits.stall_seconds:g} s",
                    headers={"Connection": "close"},
                ) from None
            arrived += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if arrived > limits.upload_bytes:
                raise _too_large(limits)
            return message

        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limits.upload_bytes:
            await _too_large(limits).response()(scope, receive, send)
        else:
            await self._app(scope, limited_receive, send)


def _too_large(limits: ServiceLimits) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a request of more than {limits.upload_bytes:,} bytes: make the image smaller, or send "
        "fewer at once",
    )
