"""A connection to Milvus, whose errors are ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from pymilvus import MilvusClient

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.process import HomeProcess
from onnxsearch._internal.validation import text
from onnxsearch.errors import ClosedError, InvalidArgumentError, without_secrets
from onnxsearch.vectors.milvus.errors import Failure, is_refusal, reason_of, translated
from onnxsearch.vectors.milvus.lite import LiteFile, open_lite

_CONNECT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files for a connection to `https://`.

    A client certificate is checked by servers that are set up to (`tlsMode: 2`).
    """

    authority: str | os.PathLike[str]
    """Certificates of the authorities that may have signed the server's."""
    certificate: str | os.PathLike[str] | None = None
    """The client's own certificate."""
    key: str | os.PathLike[str] | None = None
    """The private key of that certificate."""
    server_name: str | None = None
    """The name in the server's certificate, where it isn't the host of the URI."""

    def __post_init__(self) -> None:
        for name in ("authority", "certificate", "key"):
            path = getattr(self, name)
            if path is not None or name == "authority":
                object.__setattr__(self, name, absolute_path(path, name))
        if self.server_name is not None:
            text("server_name", self.server_name, "the name in the server's certificate")

    def options(self) -> dict[str, str]:
        """Return what pymilvus calls them.

        Raises:
            InvalidArgumentError: A file is missing, or one of certificate and key.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidArgumentError("TLSFiles: expected both of certificate and key, or neither")
        for path in (self.authority, self.certificate, self.key):
            if path is not None and not os.path.isfile(path):
                raise InvalidArgumentError(f"TLSFiles: there is no file {os.fspath(path)!r}")
        options = {"server_name": self.server_name or ""}
        if self.certificate is None or self.key is None:
            # So pymilvus calls what it trusts when it has no certificate of its own.
            return options | {"server_pem_path": os.fspath(self.authority)}
        return options | {
            "ca_pem_path": os.fspath(self.authority),
            "client_pem_path": os.fspath(self.certificate),
            "client_key_path": os.fspath(self.key),
        }


class MilvusConnection:
    """A client, and for Milvus Lite the file behind it."""

    def __init__(
        self, client: MilvusClient, address: str, lite: LiteFile | None, *, owned: bool
    ) -> None:
        self.address = address
        """What to call it in messages."""
        self.lite = lite
        """The file, if it is Milvus Lite."""
        self._client: MilvusClient | None = client
        self._owned = owned
        self._process = HomeProcess()

    @classmethod
    def to(
        cls,
        uri: str | os.PathLike[str],
        *,
        token: str | None,
        user: str | None,
        password: str | None,
        db_name: str | None,
        tls: TLSFiles | None,
        timeout: float,
    ) -> MilvusConnection:
        """Connect to a server, or open a Milvus Lite file."""
        if not isinstance(uri, str | os.PathLike):
            raise InvalidArgumentError(
                f"uri {uri!r:.80}: expected http://host:port, https://host:port or the path of a "
                "Milvus Lite file, *.db"
            )
        uri = os.fspath(uri)
        address = without_secrets(uri)
        scheme, is_url, _ = uri.partition("://")
        if tls is not None and scheme.lower() != "https":
            raise InvalidArgumentError(f"{address}: expected https://host:port with TLS files")
        files = {} if tls is None else tls.options()
        lite = None
        if not is_url:
            lite = open_lite(uri)
            uri = lite.uri
        elif scheme.lower() in ("http", "https"):
            _checked_url(uri)
        else:
            raise InvalidArgumentError(
                f"{address}: expected http://host:port, https://host:port or the path of a "
                "Milvus Lite file, *.db"
            )
        timeout = min(timeout, _CONNECT_SECONDS)
        try:
            with translated(address):
                client = MilvusClient(
                    uri,
                    token=token or "",
                    user=user or "",
                    password=password or "",
                    db_name=db_name or "",
                    timeout=timeout,
                    **files,
                )
        except BaseException:
            if lite is not None:
                lite.release()
            raise
        connection = cls(client, address, lite, owned=True)
        try:
            # pymilvus shares connections between clients, and may have had this one for
            # long: that the server is still there has to be asked.
            with connection.call():
                client.get_server_version(timeout=timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    @classmethod
    def over(cls, client: MilvusClient, *, timeout: float) -> MilvusConnection:
        """Use a client that somebody else made, and closes."""
        if not isinstance(client, MilvusClient):
            raise InvalidArgumentError(
                f"client is of type {type(client).__name__}: expected pymilvus.MilvusClient"
            )
        address = "the given client"
        with translated(address):
            version = client.get_server_version(timeout=timeout)
        if str(version).startswith("milvus_lite"):
            raise InvalidArgumentError(
                "the given client is one of Milvus Lite, whose writes have to be kept apart by "
                "path: pass the path of its file as uri instead"
            )
        return cls(client, address, None, owned=False)

    @contextmanager
    def call(self) -> Iterator[MilvusClient]:
        """Lend the client, and turn what it raises into errors of ours."""
        self._process.check(f"the connection to Milvus at {self.address}")
        if self._client is None:
            raise ClosedError(f"the connection to Milvus at {self.address} is closed")
        with nullcontext() if self.lite is None else self.lite.use(), translated(self.address):
            yield self._client

    @contextmanager
    def write(self) -> Iterator[MilvusClient]:
        """Lend the client for a write of rows.

        Raises:
            StoreUnavailableError: Milvus Lite failed, and must be asked for nothing
                more until it is opened again.
        """
        with self.call() as client:
            try:
                yield client
            except Failure as error:
                if self.lite is None or is_refusal(error):
                    raise
                raise self.lite.spoilt(reason_of(error)) from error

    def close(self) -> None:
        """Close what was opened here; closing twice is harmless."""
        client, self._client = self._client, None
        # A fork has neither the threads of the connection nor those of Milvus Lite.
        if client is not None and self._owned and self._process.is_here:
            client.close()
            if self.lite is not None:
                self.lite.release()


def _checked_url(url: str) -> str:
    """Return `url` if it is one of a Milvus server, and holds nothing unexpected."""
    # An unescaped "/" in a password would end the host's name: half of the password
    # would then show up as host, port or database. So neither URL nor cause is told.
    try:
        parts = urlsplit(url)
        is_good = parts.hostname is not None and parts.port != 0
    except ValueError:
        parts, is_good = urlsplit(""), False
    if not (is_good and re.fullmatch(r"/?\w*/?", parts.path)) or parts.query or parts.fragment:
        raise InvalidArgumentError(
            "this is no URL of a Milvus server: expected http://host:port or https://host:port, "
            "with /database after it where that isn't the default one. Pass user= and password=, "
            "or token=, beside it"
        ) from None
    return url
