"""What identifies a model: the bytes of its file, and of those that it refers to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from onnxsearch.embedders.onnx.external_data import external_data


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
        for path in (Path(model), *external_data(model).values()):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
