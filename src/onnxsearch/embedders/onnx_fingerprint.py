"""What identifies a model: the bytes of its file, and of those that it refers to."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path

# How a reference to a file with weights is stored in a model: the protobuf message
# StringStringEntryProto, key "location", then the value's tag; its length and text follow.
_LOCATION = re.compile(rb"\x0a\x08location\x12")


def fingerprint(model: str | bytes, settings: Mapping[str, str | None]) -> str:
    """Return the sha256, in hex, of a model and of all that is done around it.

    It depends on contents only, so it is the same on every machine.

    Args:
        model: Path of the model, or its bytes.
        settings: Whatever else changes a vector.
    """
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    if isinstance(model, bytes):
        digest.update(hashlib.sha256(model).digest())
    else:
        for path in (Path(model), *_external_data(Path(model))):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _external_data(model: Path) -> list[Path]:
    """Return the files with weights that `model` refers to, in the order of their names."""
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        names = {_text_at(data, match.end()) for match in _LOCATION.finditer(data)}
    paths = (model.parent / name.decode(errors="replace") for name in sorted(names))
    return [path for path in paths if path.is_file()]


def _text_at(data: mmap.mmap, start: int) -> bytes:
    length = shift = 0
    while True:  # a varint: seven bits a byte, the lowest first
        byte = data[start]
        start += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return data[start : start + length]
