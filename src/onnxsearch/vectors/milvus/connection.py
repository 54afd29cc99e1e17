"""A connection to Milvus, whose errors are ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from pymilvus import MilvusClient

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.process import HomeProcess
from onnxsearch._internal.validation import instance, text
from onnxsearch.errors import ClosedError, InvalidArgumentError, without_secrets
from onnxsearch.vectors.milvus.errors import (
    Failure,
    discard_logged_errors,
    is_refusal,
    reason_of,
    translated,
)
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
        object.__setattr__(self, "authority", absolute_path(self.authority, "authority"))
        for name, path in (("certificate", self.certificate), ("key", self.key)):
            if path is not None:
                object.__setattr__(self, name, absolute_path(path, name))
        if self.server_name is not None:
            text("server_name", self.server_name, "the name in the server's certificate")

    def options(self) -> dict[str, str]:
        """Return the files under the names that pymilvus has for them.

        Raises:
            InvalidArgumentError: A file is missing, or one of certificate and key.
        """
        if (self.certificate is None) != (self.key is None):
            raise InvalidArgumentError("TLSFiles: expected both of certificate and key, or neither")
        authority = _existing(self.authority)
        options = {"server_name": self.server_name or ""}
        if self.certificate is None or self.key is None:
            # pymilvus has another name for the authority where there is no certificate.
            return options | {"server_pem_path": authority}
        return options | {
            "ca_pem_path": authority,
            "client_pem_path": _existing(self.certificate),
            "client_key_path": _existing(self.key),
        }


def _existing(path: str | os.PathLike[str]) -> str:
    if not os.path.isfile(path):
        raise InvalidArgumentError(f"TLSFiles: there is no file {os.fspath(path)!r}")
    return os.fspath(path)


class MilvusConnection:
    """A client, and for Milvus Lite the file behind it."""

    def __init__(
        self, client: MilvusClient, address: str, lite: LiteFile | None, *, owned: bool
    ) -> None:
        self.address = address
        """The name of the server in messages."""
        self.lite = lite
        """The file of Milvus Lite; None for a server."""
        discard_logged_errors()
        self._client: MilvusClient | None = client
        self._owned = owned
        self._process = HomeProcess()

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str] | None,
        client: MilvusClient | None,
        *,
        timeout: float,
        tls: TLSFiles | None,
        **login: str | None,
    ) -> MilvusConnection:
        """Connect to a server, open a Milvus Lite file, or use a client.

        Args:
            uri: Address of a server, or path of a Milvus Lite file; None with a client.
            client: The client to use; None with a URI.
            timeout: Seconds until a call gives up.
            tls: Certificates for a server.
            login: What pymilvus identifies the user and the database by.

        Raises:
            InvalidArgumentError: There is not exactly one of `uri` and `client`, or an
                argument is not as described.
            StoreError: The connection cannot be made.
        """
        if uri is not None and client is None:
            return cls.to(uri, timeout=timeout, tls=tls, **login)
        if client is not None and uri is None:
            unused = ("token", "user", "password")
            given = [name for name in unused if login.get(name) is not None]
            given += [] if tls is None else ["tls"]
            if given:
                raise InvalidArgumentError(
                    f"{given[0]} does nothing with client=...: the client is connected already"
                )
            return cls.over(client, timeout=timeout)
        raise InvalidArgumentError("expected one of uri and client, and not both")

    @classmethod
    def to(
        cls,
        uri: str | os.PathLike[str],
        *,
        timeout: float,
        tls: TLSFiles | None,
        **login: str | None,
    ) -> MilvusConnection:
        """Connect to a server, or open a Milvus Lite file; see `open`."""
        address, is_url = _checked_address(uri, tls)
        options = _checked_login(login)
        options |= {} if tls is None else tls.options()
        timeout = min(timeout, _CONNECT_SECONDS)
        lite = None if is_url else open_lite(uri)
        try:
            with translated(address):
                client = MilvusClient(
                    os.fspath(uri) if lite is None else lite.uri, timeout=timeout, **options
                )
        except BaseException:
            if lite is not None:
                lite.release()
            raise
        connection = cls(client, address, lite, owned=True)
        connection._check_server(timeout)
        return connection

    @classmethod
    def over(cls, client: MilvusClient, *, timeout: float) -> MilvusConnection:
        """Use a client that the caller made and closes."""
        if not isinstance(client, MilvusClient):
            raise InvalidArgumentError(
                f"client is of type {type(client).__name__}: expected pymilvus.MilvusClient"
            )
        address = "the given client"
        with translated(address):
            version = client.get_server_version(timeout=timeout)
        if str(version).startswith("milvus_lite"):
            raise InvalidArgumentError(
                "the given client is one of Milvus Lite, whose writes have to be serialised by "
                "path: pass the path of its file as uri instead"
            )
        return cls(client, address, None, owned=False)

    def _check_server(self, timeout: float) -> None:
        """Ask the server for its version, and close the connection if it does not answer."""
        try:
            # pymilvus shares connections between clients, and may have opened this one
            # long ago: only an answer shows that the server is still there.
            with self.call() as client:
                client.get_server_version(timeout=timeout)
        except BaseException:
            self.close()
            raise

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
            StoreUnavailableError: Milvus Lite failed, and cannot be used until it is
                opened again.
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


def _checked_login(login: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values as pymilvus takes them: an empty string for None."""
    for name, value in login.items():
        if not isinstance(value, str | None):
            # Not shown, since it may be a secret.
            raise InvalidArgumentError(f"{name} of type {type(value).__name__}: expected a string")
    return {name: value or "" for name, value in login.items()}


_EXPECTED = "expected http://host:port, https://host:port or the path of a Milvus Lite file, *.db"


def _checked_address(uri: str | os.PathLike[str], tls: TLSFiles | None) -> tuple[str, bool]:
    """Return what to call a URI in messages, and whether it is the URL of a server.

    Raises:
        InvalidArgumentError: It is neither such a URL nor a path, or TLS does not fit it.
    """
    if not isinstance(uri, str | os.PathLike):
        raise InvalidArgumentError(f"uri {uri!r:.80}: {_EXPECTED}")
    location = os.fspath(uri)
    address = without_secrets(location)
    if tls is not None:
        instance("tls", tls, TLSFiles, "TLSFiles(...)")
    scheme, separator, _ = location.partition("://")
    if tls is not None and scheme.lower() != "https":
        raise InvalidArgumentError(f"{address}: expected https://host:port with TLS files")
    if separator and scheme.lower() not in ("http", "https"):
        raise InvalidArgumentError(f"{address}: {_EXPECTED}")
    if separator:
        _check_url(location)
    return address, bool(separator)


def _check_url(url: str) -> None:
    """Raise unless `url` is the URL of a Milvus server and holds nothing unexpected."""
    # An unescaped "/" in a password would end the name of the host: half of the password
    # would then appear as host, port or database. So the message names neither the URL
    # nor the cause.
    try:
        parts = urlsplit(url)
        is_good = parts.hostname is not None and parts.port != 0
    except ValueError:
        parts, is_good = urlsplit(""), False
    if not (is_good and re.fullmatch(r"/?\w*/?", parts.path)) or parts.query or parts.fragment:
        raise InvalidArgumentError(
            "this is not the URL of a Milvus server: expected http://host:port or "
            "https://host:port, followed by /database where it is not the default one. Pass "
            "user= and password=, or token=, beside it"
        ) from None
