"""The server: uvicorn, with deadlines for connections on which nothing is asked."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from onnxsearch.errors import InvalidArgumentError
from onnxsearch.serving.answers import bad_request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HEAD_SECONDS = 10.0
"""Seconds within which a connection sends the head of a request, or the rest of a body that was
refused, before it is closed."""
WRITE_SECONDS = 60.0
"""Seconds for which an answer waits for a client that does not read it."""
MOST_CONNECTIONS = 512
"""Connections at the same time; further ones are closed at once. A process may usually have
1,024 files open."""
_MOST_HEAD_BYTES = 2**16
_SHUTDOWN_SECONDS = 10
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_WAITING = 128
"""Connections that wait to be accepted."""


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 that closes connections which keep it waiting.

    uvicorn itself limits only the time between two requests. A client that sends the head of
    a request byte by byte, never sends one, or reads no answer would be served for ever.
    """

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answering():
            self._start()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_deadline = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too long a head."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is under way
            self.transport.abort()
            return
        response = bad_request(
            f"{msg} Expected HTTP/1.1, with a head of at most {_MOST_HEAD_BYTES:,} bytes"
        ).response()
        headers = [*response.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _is_answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _start(self) -> None:
        self._stop()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class ServiceServer(uvicorn.Server):
    """A server of one application on one address.

    Args:
        app: The application.
        host: An IP address, or a name of this machine.
        port: The port; 0 stands for any that is free.
        prefix: The path at which a proxy shows the service, such as `/photos`; see `at_path`.

    Raises:
        InvalidArgumentError: The address cannot be used.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, prefix: str = "") -> None:
        shown = at_path(app, prefix)
        # It writes a line about each damaged form, as often as a client likes.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        # Open before the server starts: the address is known, an error is ours, and clients wait.
        self.listener = _listener(host, port)
        super().__init__(
            uvicorn.Config(
                shown,
                http=DeadlineProtocol,
                ws="none",
                lifespan="on",
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )

    @property
    def url(self) -> str:
        """The address that a browser on this machine opens."""
        host, port = self.listener.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = "127.0.0.1" if self.listener.family == socket.AF_INET else "::1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def serve_until_stopped(self) -> None:
        """Serve until the process is asked to end; requests that are being answered end first."""
        with self.listener, _handled_signals():
            self.run(sockets=[self.listener])


def at_path(app: ASGIApp, prefix: str) -> ASGIApp:
    """Return an application whose links lead below `prefix`.

    It answers requests whether or not a proxy has removed the prefix from their paths. A proxy
    that changes nothing, such as nginx with `proxy_pass http://host:port;`, keeps `%2F` in ids.

    Raises:
        InvalidArgumentError: The prefix is no path.
    """
    prefix = prefix.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise InvalidArgumentError(f"prefix {prefix!r:.80}: expected a path such as /photos")

    async def prefixed(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": prefix}, receive, send)

    return prefixed if prefix else app


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _handled_signals() -> Iterator[None]:
    """Let the signals that end the server do nothing more.

    uvicorn raises them again when it has ended, which would end the process before the stores
    are closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listener(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InvalidArgumentError(f"host {host!r:.80} is no address here: {error}") from error
    try:
        # Without it, a port stays taken for a minute after a server has ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_WAITING)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InvalidArgumentError(
            f"port {port} of {host} cannot be used: {error}. Choose another one with --port, or 0 "
            "for any that is free"
        ) from error
    return listener
