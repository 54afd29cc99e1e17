"""Uncompressed zip files, read without trust.

A damaged file raises `ValueError`, or what `zipfile` raises.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnxsearch.types import Vectors

_NPY = b"\x93NUMPY\x01\x00"
"""The first bytes of a .npy file of version 1.0."""
_MAX_HEADER = 4096
"""Bytes that a .npy file may have besides its numbers."""


def write_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member, uncompressed."""
    # With the default date of ZipInfo: a zip file cannot hold a date before 1980.
    archive.writestr(zipfile.ZipInfo(name), data)


def write_matrix(archive: zipfile.ZipFile, name: str, matrix: Vectors) -> None:
    """Add a matrix as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, matrix, allow_pickle=False)
    write_member(archive, name, buffer.getvalue())


def check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Raise unless each member can be as long as it claims, in a file of `size` bytes."""
    members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"{member.filename!r:.80} is compressed")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its members have one name")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its members are larger than the file")


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return the bytes of a member; call `check_members` first."""
    member = archive.getinfo(name)
    if member.file_size > limit:
        raise ValueError(f"{name} is larger than {limit:,} bytes")
    return archive.read(member)


def read_matrix(
    archive: zipfile.ZipFile,
    name: str,
    rows: int,
    columns: int,
    dtype: np.dtype[np.float32 | np.uint8],
) -> Vectors:
    """Return the finite matrix of this shape and type that `write_matrix` wrote."""
    size = rows * columns * dtype.itemsize
    data = read_member(archive, name, size + _MAX_HEADER)
    # Not `np.load`, which evaluates the header as Python and believes its shape.
    start = len(_NPY) + 2 + int.from_bytes(data[len(_NPY) : len(_NPY) + 2], "little")
    shape = f"({rows}, {columns})"
    header = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    if (
        not data.startswith(_NPY)
        or data[len(_NPY) + 2 : start].strip() != header.encode("ascii")
        or len(data) != start + size
    ):
        raise ValueError(f"{name} is not an array of {dtype} and shape {shape}")
    matrix: Vectors = np.frombuffer(data, dtype, offset=start).reshape(rows, columns)
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return matrix
