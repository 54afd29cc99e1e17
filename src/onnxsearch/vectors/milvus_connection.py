"""A connection to Milvus, whose errors are ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
from pymilvus import MilvusClient
from pymilvus.exceptions import ErrorCode, MilvusException

from onnxsearch.errors import (
    ClosedError,
    CollectionNotFoundError,
    InvalidArgumentError,
    StoreError,
    StoreUnavailableError,
    without_secrets,
)
from onnxsearch.vectors.milvus_lite import LiteFile, open_lite

_CONNECT_SECONDS = 4.0
_calling = ContextVar("_calling", default=False)
"""Whether this thread is in a call of ours."""
_GONE = (
    2,  # pymilvus' own, when it cannot connect
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


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

    @classmethod
    def to(
        cls,
        uri: str,
        *,
        token: str | None,
        user: str | None,
        password: str | None,
        db_name: str | None,
        tls: TLSFiles | None,
        timeout: float,
    ) -> MilvusConnection:
        """Connect to a server, or open a Milvus Lite file."""
        address = without_secrets(uri)
        if tls is not None and not uri.startswith("https://"):
            raise InvalidArgumentError(f"{address}: expected https://host:port with TLS files")
        files = {} if tls is None else tls.options()
        lite = None
        if not uri.startswith(("http://", "https://")):
            if "://" in uri:
                raise InvalidArgumentError(
                    f"{address}: expected http://host:port, https://host:port or the path of a "
                    "Milvus Lite file, *.db"
                )
            lite = open_lite(uri)
            uri = lite.uri
        try:
            with _errors(address):
                client = MilvusClient(
                    uri,
                    token=token or "",
                    user=user or "",
                    password=password or "",
                    db_name=db_name or "",
                    timeout=min(timeout, _CONNECT_SECONDS),
                    **files,
                )
        except BaseException:
            if lite is not None:
                lite.release()
            raise
        return cls(client, address, lite, owned=True)

    @classmethod
    def over(cls, client: MilvusClient, *, timeout: float) -> MilvusConnection:
        """Use a client that somebody else made, and closes."""
        address = "the given client"
        with _errors(address):
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
        if self._client is None:
            raise ClosedError(f"the connection to Milvus at {self.address} is closed")
        with _errors(self.address):
            yield self._client

    @contextmanager
    def write(self) -> Iterator[MilvusClient]:
        """Lend the client for a write; Milvus Lite takes one at a time."""
        with self.call() as client:
            if self.lite is None:
                yield client
            else:
                with self.lite.writing:
                    yield client

    def close(self) -> None:
        """Close what was opened here; closing twice is harmless."""
        client, self._client = self._client, None
        if client is not None and self._owned:
            client.close()
            if self.lite is not None:
                self.lite.release()


@contextmanager
def _errors(address: str) -> Iterator[None]:
    outside = _calling.set(True)
    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise _mapped(error, address) from error
    finally:
        _calling.reset(outside)


def _is_not_raised_by_us(record: logging.LogRecord) -> bool:
    return record.funcName != "_log_rpc_error" or not _calling.get()


# pymilvus writes every error, with its traceback, to standard error before it raises
# it. Those of our calls are raised as errors of ours, with the cause; an application's
# own use of pymilvus goes on as it was.
logging.getLogger("pymilvus.decorators").addFilter(_is_not_raised_by_us)


def _mapped(error: Any, address: str) -> StoreError:
    code: int | grpc.StatusCode | None
    if isinstance(error, MilvusException):
        # When its time is up, pymilvus puts gRPC's code in the place of Milvus' own.
        code, reason = error.code, str(error.message)
    else:
        code, reason = _status(error), "the call failed"
    if code in _GONE or _status(error.__cause__) in _GONE:
        return StoreUnavailableError(
            f"Milvus at {address} cannot be reached, or did not answer in time. Check that it "
            "runs, and that address and port are right"
        )
    if code == ErrorCode.COLLECTION_NOT_FOUND:
        return CollectionNotFoundError(f"Milvus at {address}: {reason}")
    return StoreError(f"Milvus at {address} refused, with code {code}: {reason}")


def _status(error: BaseException | None) -> grpc.StatusCode | None:
    # Every error that a call raises has a code, though gRPC's base class has not.
    return error.code() if isinstance(error, grpc.Call) else None
