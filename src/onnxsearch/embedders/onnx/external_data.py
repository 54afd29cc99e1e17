"""The files of a model: its own, and those with weights that it refers to."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxsearch.embedders.onnx.header import varint
from onnxsearch.errors import ModelLoadError

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")

# How a reference to a file with weights is stored in a model: the protobuf message
# StringStringEntryProto, key "location", then the value's tag; its length and text follow.
_LOCATION = re.compile(rb"\x0a\x08location\x12")


def model_name(model: str | os.PathLike[str] | bytes) -> str:
    """Return what a model is called by default: its file's name, or a hash of its bytes."""
    if isinstance(model, bytes):
        return f"onnx-{hashlib.sha256(model).hexdigest()[:12]}"
    stem = os.path.splitext(os.path.basename(os.fspath(model)))[0]
    return _FOREIGN.sub("-", stem).strip("._-")[:100] or "model"


def external_data(model: str | bytes) -> dict[str, Path]:
    """Return the files with weights that `model` refers to, by name, sorted.

    They lie beside the model. Where the model is a link, they lie beside the file that
    it leads to; or beside the link, as links to files there: so it is in caches of
    Hugging Face models. Files anywhere else are left out, as ONNX Runtime refuses
    them. For a model in memory, it looks in the current folder.
    """
    if isinstance(model, bytes):
        return _found(_names(model), Path(), Path())
    path, real = Path(model), Path(model).resolve()
    with real.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _found(_names(data), real.parent, path.parent)


@contextmanager
def loadable(model: str) -> Iterator[str]:
    """Yield a path under which ONNX Runtime takes `model`, and the weights beside it.

    It refuses weights that are links out of the model's folder, or beside a link to
    the model. So a model in a cache of links gets a folder of other names for its
    files, for as long as it is being loaded.

    Raises:
        ModelLoadError: It cannot be made.
    """
    real = os.path.realpath(model)
    # A link that is a model's only file is followed, which is all it takes.
    weights = external_data(model) if real != os.path.abspath(model) else {}
    if all(path == Path(real).parent / name for name, path in weights.items()):
        yield real
        return
    try:
        # On the same disc, where a second name costs nothing.
        with tempfile.TemporaryDirectory(dir=Path(real).parent) as folder:
            for name, path in (("model.onnx", Path(real)), *weights.items()):
                os.link(path, Path(folder) / name)
            yield str(Path(folder) / "model.onnx")
    except OSError as error:
        raise ModelLoadError(
            f"model {model!r} and its weights are links, which ONNX Runtime refuses, and other "
            f"names for them cannot be made: {error}. Copy them into one folder"
        ) from error


def _names(data: bytes | mmap.mmap) -> list[str]:
    found = {_text_at(data, match.end()) for match in _LOCATION.finditer(data)}
    return [name.decode(errors="replace") for name in sorted(found)]


def _found(names: list[str], real: Path, link: Path) -> dict[str, Path]:
    found = {}
    for name in names:
        beside, linked = real / name, (link / name).resolve()
        if beside.is_file():
            found[name] = beside
        elif linked.is_file() and linked.parent == real.resolve():
            found[name] = linked
    return found


def _text_at(data: bytes | mmap.mmap, position: int) -> bytes:
    length, start = varint(data, position)
    return data[start : start + length]
