"""Files that appear when they are whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from onnxsearch._internal.open_files import StoreFileError, is_store_file


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the place of `path` once it is whole and on disk.

    Until then it is written beside it, to a file that ends in ".part". A symbolic link
    is followed; a device or a pipe is written to directly, for it cannot be replaced.

    Raises:
        StoreFileError: The path is a file of a store that is open in this process.
        OSError: The file cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and is_store_file(target):
        raise StoreFileError(str(target))
    if target.exists() and not (target.is_file() or target.is_dir()):
        with open(target, "wb") as device:
            yield device
        return
    unfinished = target.with_name(f"{target.name[:50]}.{secrets.token_hex(8)}.part")
    file = open(unfinished, "xb")  # noqa: SIM115, closed before it is renamed
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink()
        raise
    # The file is in its place; that not every file system can sync a folder is no failure.
    with suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
