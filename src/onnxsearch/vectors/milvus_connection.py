"""A connection to Milvus, whose errors are ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
_GONE = (
    2,  # pymilvus' own, when it cannot connect
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


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
        timeout: float,
    ) -> MilvusConnection:
        """Connect to a server, or open a Milvus Lite file."""
        address = without_secrets(uri)
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
    try:
        yield
    except (MilvusException, grpc.RpcError) as error:
        raise _mapped(error, address) from error


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
