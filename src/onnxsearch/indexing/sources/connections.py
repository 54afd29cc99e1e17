"""Connections of downloads: to checked addresses only, and until a time limit."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore2

from onnxsearch.indexing.sources.addresses import addresses_of

_END: ContextVar[float] = ContextVar("end of the download")
"""When the download of this thread has to be complete, by `time.monotonic`."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let all that this thread sends and receives inside take `seconds` together."""
    token = _END.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


def time_left() -> float:
    """Return how many seconds are left of the limit.

    Raises:
        httpcore2.TimeoutException: None are left.
    """
    left = _END.get() - time.monotonic()
    if left <= 0:
        raise httpcore2.TimeoutException("the time is over")
    return left


class CheckedBackend(httpcore2.NetworkBackend):
    """Connects to hosts at addresses that may be reached.

    Args:
        allow_private: Whether private addresses may be reached.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._backend = httpcore2.SyncBackend()
        self._allow_private = allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            ImageError: The host has no address that may be reached.
            httpcore2.ConnectError: None of them answers.
        """
        del timeout
        failed: Exception = httpcore2.ConnectError("no address")
        for address in addresses_of(host, port, allow_private=self._allow_private):
            try:
                stream = self._backend.connect_tcp(
                    address, port, time_left(), local_address, socket_options
                )
            except httpcore2.NetworkError as error:
                failed = error
            else:
                return _TimedStream(stream)
        raise failed


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose timeouts are what is left of the time limit.

    A timeout for each read alone would let a server send one byte at a time for ever.
    """

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self._stream.read(max_bytes, time_left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self._stream.write(buffer, time_left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        del timeout
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, time_left()))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
