"""What may be downloaded, and how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onnxsearch._internal.validation import boolean, integer, items, seconds, text
from onnxsearch.errors import InvalidArgumentError, UnsupportedImageError
from onnxsearch.indexing.sources.urls import protocol_of, public_url

DEFAULT_MAX_BYTES = 2**28
"""256 MiB: twice the largest JPEG files of cameras with 100 megapixels, and TIFF files of 40."""

DEFAULT_TIMEOUT = 60.0
"""Seconds: 256 MiB arrive at 36 Mbit/s."""

HTTP = ("http", "https")

_LOCAL = frozenset({"file", "local"})

_BY_NAME = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "hf", "memory"}
)
"""Protocols of fsspec whose URLs name a bucket or an account, and no host."""


@dataclass(frozen=True, slots=True)
class RemotePolicy:
    """Which URLs are read, and how much of each: the limits of `Remote` and `Table`."""

    max_bytes: int = DEFAULT_MAX_BYTES
    """Bytes of an image, at most, as they arrive and decompressed."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds for one image, with all redirects, retries and waiting times. File systems of
    fsspec are asked between two reads."""
    allow_private: bool = False
    """Whether hosts on private networks are read: loopback, link-local, private, multicast and
    reserved addresses. By default only hosts on the internet are, so that a URL of
    unknown origin cannot read the services of this machine or of its network."""
    protocols: Iterable[str] = HTTP
    """Protocols that are read. Those of fsspec, such as `s3` and `gs`, need the package that
    fsspec names. Protocols whose URLs name a host, such as `ftp` and `sftp`, need
    `allow_private=True` too, since fsspec connects to it unchecked."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_bytes", integer("max_bytes", self.max_bytes, least=1))
        object.__setattr__(self, "timeout", seconds("timeout", self.timeout))
        boolean("allow_private", self.allow_private)
        expected = "a list of protocols, such as ['https', 's3']"
        given = [
            text("protocols", each, expected)
            for each in items("protocols", self.protocols, expected)
        ]
        object.__setattr__(self, "protocols", tuple(each.lower() for each in given))
        for each in self.protocols:
            self._check(each)

    def protocol(self, url: str) -> str:
        """Return the protocol of a URL that may be read.

        Raises:
            UnsupportedImageError: It is not a URL, or may not be read.
        """
        if "::" in url and not url.lower().startswith(("http://", "https://")):
            raise UnsupportedImageError(
                f"{public_url(url)!r:.300} leads through several file systems, which is not read: "
                "download an archive, and read it with Archive"
            )
        protocol = protocol_of(url)
        self.check_allowed(protocol, url)
        return protocol

    def check_allowed(self, protocol: str, url: str) -> None:
        """Raise `UnsupportedImageError` unless a URL of this protocol may be read."""
        if protocol in _LOCAL:
            raise UnsupportedImageError(
                f"{public_url(url)!r:.300} is a local file: give its path to index or add_many"
            )
        if protocol not in self.protocols:
            raise UnsupportedImageError(
                f"{public_url(url)!r:.300} has the protocol {protocol!r:.80}, and allowed are "
                f"{', '.join(self.protocols)}: add it to `protocols` if such URLs are meant"
            )

    def _check(self, protocol: str) -> None:
        if protocol in _LOCAL:
            raise InvalidArgumentError(
                f"protocols hold {protocol!r}: local files are given by their paths, to index or "
                "add_many"
            )
        if protocol not in (*HTTP, *_BY_NAME) and not self.allow_private:
            raise InvalidArgumentError(
                f"protocols hold {protocol!r}, whose hosts cannot be checked: pass "
                "allow_private=True if its URLs come from a source that you trust"
            )
