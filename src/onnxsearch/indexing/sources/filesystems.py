"""Images in the file systems of fsspec: `s3://`, `gs://` and others."""

from __future__ import annotations

import time
from typing import BinaryIO

import fsspec

from onnxsearch.errors import (
    BrokenImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    InvalidArgumentError,
    MissingExtraError,
    UnsupportedImageError,
)
from onnxsearch.images.formats import HEAD
from onnxsearch.indexing.sources.files import check_head
from onnxsearch.indexing.sources.remote_policy import RemotePolicy
from onnxsearch.indexing.sources.urls import public_url

_CHUNK = 2**20


def check_filesystem(protocol: str) -> None:
    """Check that a protocol is one that fsspec reads here.

    Raises:
        InvalidArgumentError: fsspec does not know it.
        MissingExtraError: The package that it needs is not installed.
    """
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise InvalidArgumentError(
            f"protocols hold {protocol!r:.80}: expected http, https or a protocol of fsspec"
        ) from error
    except ImportError as error:
        raise MissingExtraError(f"protocol {protocol!r}: {error}") from error


def read_filesystem(url: str, policy: RemotePolicy) -> bytes:
    """Return the image at a URL of a file system.

    Raises:
        ImageError: As for `Downloader.fetch`.
    """
    shown = public_url(url)
    end = time.monotonic() + policy.timeout
    try:
        system, path = fsspec.url_to_fs(url)
        with system.open(path, "rb") as file:
            return _read(file, path, shown, policy, end)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(f"there is no {shown!r}") from error
    except IsADirectoryError as error:
        raise UnsupportedImageError(f"{shown!r} is a folder, not a file") from error
    except ImageError:
        raise
    # The packages behind fsspec have errors of their own.
    except Exception as error:
        raise BrokenImageError(f"{shown!r} cannot be read: {type(error).__name__}") from error


def _read(file: BinaryIO, name: str, shown: str, policy: RemotePolicy, end: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        if size < HEAD:
            check_head(chunk, name, shown)
        size += len(chunk)
        if size > policy.max_bytes:
            raise ImageTooLargeError(f"{shown!r} has more than {policy.max_bytes:,} bytes")
        if time.monotonic() > end:
            raise BrokenImageError(
                f"{shown!r} did not arrive within {policy.timeout:g} seconds (`timeout`)"
            )
    return b"".join(chunks)
