"""Errors of pymilvus and Milvus Lite, turned into errors of onnxsearch and not logged."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from pymilvus.exceptions import ErrorCode, MilvusException
from pymilvus.grpc_gen import milvus_pb2_grpc

from onnxsearch.errors import (
    ClosedError,
    CollectionNotFoundError,
    OnnxSearchError,
    StoreError,
    StoreUnavailableError,
)

Failure = (MilvusException, grpc.RpcError)
"""The errors that a call of pymilvus raises."""

_GONE = (
    2,  # pymilvus' own, when it cannot connect
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_NOT_THERE = frozenset(
    {103, 106, 201, 202, 400, 401, 500, 501, 503, 600, 601, 602, 901, 902, 903, 904, 905}
)
"""Codes for collections, partitions, replicas, channels, segments and nodes that do not
exist, or not yet while a server starts: `pkg/util/merr/errors.go` of Milvus."""
_NOT_LOADED = 101
_NOT_READY = "service not ready"
"""The message of a server that has just started; its code is the one of unexpected errors."""
_LOADING = "loading collection timeout"
"""The message of pymilvus when a collection is not loaded in time; the code is 1."""
_NO_CONNECTION = "should create connection first"
"""The message of a client that was closed."""
_calling = ContextVar("_calling", default=False)
"""Whether this thread is in a call of onnxsearch."""


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn errors that pymilvus raises in the block into errors of onnxsearch."""
    outside = _calling.set(True)
    try:
        yield
    except Failure as error:
        raise _mapped(error, address) from error
    finally:
        _calling.reset(outside)


def reason_of(error: Exception) -> str:
    """Return the message of Milvus."""
    return str(getattr(error, "message", "the call failed"))


def is_not_loaded(error: StoreUnavailableError) -> bool:
    """Return whether a collection was not in the server's memory: released, or not loaded yet."""
    return error.__cause__ is not None and _code(error.__cause__) == _NOT_LOADED


def is_refusal(error: Exception) -> bool:
    """Return whether Milvus Lite, or pymilvus, only refused the request.

    Otherwise an unexpected error occurred, such as a full disk, or the call timed out.
    """
    if type(error) is not MilvusException:
        return isinstance(error, MilvusException)  # raised by pymilvus itself
    return _code(error) not in (ErrorCode.UNEXPECTED_ERROR, *_GONE)


def _mapped(error: Exception, address: str) -> OnnxSearchError:
    code, reason = _code(error), reason_of(error)
    if code in _GONE or _status(error.__cause__) in _GONE:
        return StoreUnavailableError(
            f"Milvus at {address} cannot be reached, or did not answer in time. Check that it "
            "runs, and that address and port are right"
        )
    if code == _NOT_LOADED:
        return StoreUnavailableError(
            f"a collection of Milvus at {address} is not loaded: another client released it, or "
            f"the server has not loaded it yet. Load it, or try again. It reports: {reason}"
        )
    is_busy = _NOT_READY in reason or _LOADING in reason or getattr(error, "retriable", False)
    if code in _NOT_THERE or is_busy:
        return StoreUnavailableError(
            f"Milvus at {address} is starting, or busy: try again. It reports: {reason}"
        )
    if code == ErrorCode.COLLECTION_NOT_FOUND:
        return CollectionNotFoundError(f"Milvus at {address}: {reason}")
    if reason == _NO_CONNECTION:
        return ClosedError(f"Milvus at {address} cannot be used: that client is closed")
    return StoreError(f"Milvus at {address} refused, with code {code}: {reason}")


def _code(error: Any) -> int | grpc.StatusCode | None:
    # After a timeout, pymilvus uses the code of gRPC instead of the one of Milvus.
    return error.code if isinstance(error, MilvusException) else _status(error)


def _status(error: BaseException | None) -> grpc.StatusCode | None:
    # Every error that a call raises has a code, although the base class of gRPC has none.
    return error.code() if isinstance(error, grpc.Call) else None


def discard_logged_errors() -> None:
    """Keep pymilvus and Milvus Lite from logging the errors that a call of ours raises.

    They write each error, with its traceback, to standard error before they raise it or
    send it to the caller. Errors of our calls are raised as ours, with the cause. The
    errors of an application's own calls are logged as before. A second call does nothing.
    """
    for name in ("pymilvus.decorators", "pymilvus.client.connection_manager"):
        logging.getLogger(name).addFilter(_is_not_raised_by_us)
    logging.getLogger("milvus_lite.adapter.grpc.servicer").addFilter(_is_not_sent)
    logging.getLogger("grpc._server").addFilter(_is_not_of_milvus)


def _is_not_raised_by_us(record: logging.LogRecord) -> bool:
    reports = ("_log_rpc_error", "_recover", "handler")
    return record.funcName not in reports or not _calling.get()


def _is_not_sent(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def _is_not_of_milvus(record: logging.LogRecord) -> bool:
    # For each new collection pymilvus tries a method that Lite lacks, and does without it.
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, NotImplementedError) or error.__traceback__ is None:
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals is not vars(milvus_pb2_grpc)
