"""Downloads by HTTP, within limits of size, time and place.

No redirect is followed unchecked, no cookie is kept, and no proxy of the environment is used,
since the address that is checked would be the proxy's.
"""

from __future__ import annotations

import base64
import time
import weakref
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

import httpcore2
import httpx2

from onnxsearch.errors import (
    BrokenImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from onnxsearch.images.formats import HEAD
from onnxsearch.indexing.sources.connections import CheckedBackend, time_left, time_limit
from onnxsearch.indexing.sources.files import check_head
from onnxsearch.indexing.sources.remote_policy import RemotePolicy
from onnxsearch.indexing.sources.urls import public_url

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_BUSY = frozenset({429, 503})
_PAUSES = (0.5, 2.0)
"""Seconds before the second and the third try, where a server does not name a longer time."""

_IDLE = 30.0
"""Seconds for which an unused connection is kept."""

_LOST = (httpcore2.ReadError, httpcore2.WriteError, httpcore2.RemoteProtocolError)
"""A connection was lost, as one that was unused for too long: another try may succeed."""

_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER = zlib.MAX_WBITS + 32
"""Lets `zlib` recognise both."""
_PIECE = 2**18
"""Bytes to which one step decompresses, at most."""


class Downloader:
    """Downloads images; several threads share its connections.

    Args:
        policy: The limits.
    """

    def __init__(self, policy: RemotePolicy) -> None:
        self._policy = policy
        self._pool = httpcore2.ConnectionPool(
            network_backend=CheckedBackend(allow_private=policy.allow_private),
            max_connections=None,
            keepalive_expiry=_IDLE,
        )
        weakref.finalize(self, self._pool.close)

    def fetch(self, url: str) -> bytes:
        """Return the image at a URL.

        Raises:
            NotAnImageError: What is there is not an image, by its content and by its name.
            ImageNotFoundError: There is nothing.
            ImageTooLargeError: It is larger than the limit.
            UnsupportedImageError: It may not be read.
            BrokenImageError: It cannot be downloaded, or not within the time limit.
        """
        shown = public_url(url)
        try:
            with time_limit(self._policy.timeout):
                return self._follow(httpx2.URL(url), shown)
        except httpcore2.TimeoutException as error:
            raise BrokenImageError(
                f"{shown!r} did not arrive within {self._policy.timeout:g} seconds (`timeout`)"
            ) from error
        except _FAILURES as error:
            detail = str(error) or type(error).__name__
            raise BrokenImageError(f"{shown!r} cannot be downloaded: {detail}") from error

    def _follow(self, url: httpx2.URL, shown: str) -> bytes:
        """Return what is at `url`, or where redirects lead to."""
        credentials = {_origin(url): url.userinfo} if url.userinfo else {}
        for _ in range(_MOST_REDIRECTS + 1):
            # A redirect may lead anywhere.
            self._policy.check_allowed(url.scheme, str(url))
            if not url.host:
                raise UnsupportedImageError(f"{shown!r} names no host")
            answer = self._get(url, credentials.get(_origin(url)), shown, _PAUSES)
            if isinstance(answer, bytes):
                return answer
            url = url.join(answer)
        raise BrokenImageError(f"{shown!r} redirects more than {_MOST_REDIRECTS} times")

    def _get(
        self, url: httpx2.URL, userinfo: bytes | None, shown: str, pauses: Sequence[float]
    ) -> bytes | str:
        """Return what is at `url`, or the address to which it redirects."""
        address = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        try:
            with self._pool.stream("GET", address, headers=_headers(url, userinfo)) as response:
                if response.status not in _BUSY or not pauses:
                    return self._answer(response, url, shown)
                pause = max(pauses[0], _retry_after(response))
        except _LOST:
            if not pauses:
                raise
            pause = pauses[0]
        if pause >= time_left():
            raise BrokenImageError(f"{shown!r} is busy: its server asks to wait {pause:g} seconds")
        time.sleep(pause)
        return self._get(url, userinfo, shown, pauses[1:])

    def _answer(self, response: httpcore2.Response, url: httpx2.URL, shown: str) -> bytes | str:
        status = response.status
        if status in _REDIRECTS:
            location = _header(response, b"location")
            if not location:
                raise BrokenImageError(f"{shown!r} redirects without saying where")
            return location
        if status in _GONE:
            raise ImageNotFoundError(f"there is no {shown!r}: its server answers {status}")
        if status != 200:
            raise BrokenImageError(f"{shown!r} cannot be read: its server answers {status}")
        declared = _header(response, b"content-length")
        if declared.isdecimal() and int(declared) > self._policy.max_bytes:
            raise self._too_large(shown)
        chunks: list[bytes] = []
        size = 0
        for chunk in _decoded(response, shown):
            chunks.append(chunk)
            if size < HEAD <= size + len(chunk):
                check_head(b"".join(chunks), url.path, shown)
            size += len(chunk)
            if size > self._policy.max_bytes:
                raise self._too_large(shown)
        content = b"".join(chunks)
        check_head(content, url.path, shown)
        return content

    def _too_large(self, shown: str) -> ImageTooLargeError:
        return ImageTooLargeError(
            f"{shown!r} has more than {self._policy.max_bytes:,} bytes (`max_bytes`)"
        )


_FAILURES = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpx2.InvalidURL,
    zlib.error,
    UnicodeError,
)


def _decoded(response: httpcore2.Response, shown: str) -> Iterator[bytes]:
    """Yield the content of a response, in pieces of bounded size.

    It is asked for unencoded; some servers compress all the same.
    """
    encoding = _header(response, b"content-encoding").strip().lower()
    if encoding in ("", "identity"):
        yield from response.iter_stream()
        return
    if encoding not in _ENCODINGS:
        raise UnsupportedImageError(
            f"{shown!r} is encoded by {encoding!r:.40}, though it was asked for unencoded"
        )
    decoder = zlib.decompressobj(_ANY_HEADER)
    for chunk in response.iter_stream():
        left = chunk
        while left and not decoder.eof:
            yield decoder.decompress(left, _PIECE)
            left = decoder.unconsumed_tail
    if not decoder.eof:
        raise BrokenImageError(f"{shown!r} is cut short")


def _headers(url: httpx2.URL, userinfo: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"Host", url.netloc),
        (b"User-Agent", b"onnxsearch"),
        (b"Accept", b"image/*,*/*;q=0.5"),
        (b"Accept-Encoding", b"identity"),
    ]
    if userinfo is not None:
        encoded = base64.b64encode(unquote_to_bytes(userinfo))
        headers.append((b"Authorization", b"Basic " + encoded))
    return headers


def _header(response: httpcore2.Response, name: bytes) -> str:
    """Return a header of a response, an empty string where there is none."""
    values = [value for key, value in response.headers if key.lower() == name]
    return values[0].decode("latin-1") if values else ""


def _retry_after(response: httpcore2.Response) -> float:
    """Return how many seconds a busy server asks to wait; 0 where it does not say."""
    value = _header(response, b"retry-after").strip()
    if value.isdecimal():
        return float(value[:10])
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # not a date, or one without a zone
        return 0.0


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
