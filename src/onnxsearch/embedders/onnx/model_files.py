"""Files of models: how they are described, and found again by their content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnxsearch.embedders.bundled import bundled_model, bundled_models
from onnxsearch.embedders.description import ModelFile, ModelSource
from onnxsearch.embedders.hub.cache import cached_paths
from onnxsearch.embedders.onnx.external_data import external_data
from onnxsearch.embedders.onnx.fingerprint import file_digest
from onnxsearch.errors import ModelLoadError, ModelNotFoundError

_SHA256 = 32
"""Bytes of a digest."""
_MOST_FILES = 100_000
"""Files that are looked at below a folder, at most: a folder of models has far fewer, and a
search through a whole disk helps nobody."""

MODEL_ENDINGS = (".onnx",)
TOKENIZER_ENDINGS = (".json", ".txt")


def described_file(model: str | bytes, digest: bytes, source: ModelSource | None) -> ModelFile:
    """Return what an index remembers of a file.

    Args:
        model: Its absolute path, or its bytes.
        digest: See `onnxsearch.embedders.onnx.fingerprint.model_digest`.
        source: Where it comes from. A file of the package has another path on every machine,
            so that its path is left out.

    Raises:
        ModelLoadError: It exists no more.
    """
    hashes = [digest[n : n + _SHA256].hex() for n in range(0, len(digest), _SHA256)]
    own, weights = hashes[0], tuple(hashes[1:])
    if isinstance(model, bytes):
        return ModelFile(own, len(model), weights=weights)
    path = None if source is not None and source.kind == "bundled" else model
    try:
        size = os.path.getsize(model)
    except OSError as error:
        raise ModelLoadError(f"{model!r} is gone: {error.strerror or error}") from error
    return ModelFile(own, size, os.path.basename(model), path, weights)


class ModelFinder:
    """Finds files that an index remembers.

    What an index says may be anything. A file counts as found only if its bytes have the
    hash that the index says, and nothing but its bytes is looked at before that.

    Args:
        places: Folders, searched with all below them, and files.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places

    def find(
        self, what: str, file: ModelFile, source: ModelSource | None, endings: tuple[str, ...]
    ) -> str:
        """Return the absolute path of a file.

        Args:
            what: What the file is, at the beginning of messages.
            file: The file.
            source: Where it comes from.
            endings: How its name ends in the places that the caller did not name himself.

        Raises:
            ModelNotFoundError: It is nowhere.
        """
        for path in self._candidates(file, source, endings):
            if _is_that(path, file):
                return path
        raise ModelNotFoundError(self._missing(what, file, source))

    def _candidates(
        self, file: ModelFile, source: ModelSource | None, endings: tuple[str, ...]
    ) -> Iterator[str]:
        """Yield paths that may be of the file, the most likely ones first."""
        yield from (path for path in file.paths if _ends(path, endings))
        if source is not None and source.kind == "bundled" and source.name in bundled_models():
            yield str(bundled_model(source.name))
        if source is not None and source.kind == "hub":
            yield from cached_paths(source, file.name)
        folders = [place for place in self._places if place.is_dir()]
        name = file.name or ""
        if _ends(name, endings) and os.path.basename(name) == name:
            yield from (str(folder / name) for folder in folders)
        yield from (str(place) for place in self._places if not place.is_dir())
        for folder in folders:
            yield from _files_below(folder, endings)

    def _missing(self, what: str, file: ModelFile, source: ModelSource | None) -> str:
        name = "" if file.name is None else f" {file.name!r:.200}"
        tried = [*file.paths, *map(str, self._places)]
        looked = f" Looked at: {', '.join(map(repr, tried))}." if tried else ""
        others = [path for path in file.paths if os.path.isfile(path)]
        other = f" {others[0]!r:.200} is another file now." if others else ""
        comes = ""
        if source is not None and source.kind == "bundled":
            comes = f" It came with another version of onnxsearch, as {source.name!r:.200}."
        elif source is not None and cached_paths(source, None):
            comes = (
                f" It came from the hub: `onnxsearch models get {source.name} --revision "
                f"{source.revision} --file {source.file}` downloads it again."
            )
        return (
            f"{what} is not found: its file{name} of {file.size:,} bytes, sha256 {file.sha256}."
            f"{looked}{other}{comes} Name the file or a folder above it with model_path=[...], "
            "--model-path or the variable ONNXSEARCH_MODELS, or give the model as embedders=..."
        )


def _is_that(path: str, file: ModelFile) -> bool:
    """Return whether the file at `path` has the bytes that are wanted."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
            return False
        if file_digest(path).hex() != file.sha256:
            return False
        weights = external_data(path).values() if file.weights else ()
        return tuple(file_digest(each).hex() for each in weights) == file.weights
    except (OSError, ValueError, ModelLoadError):
        return False  # it cannot be read, or no file can have that name


def _ends(name: str, endings: tuple[str, ...]) -> bool:
    return name.lower().endswith(endings)


def _files_below(folder: Path, endings: tuple[str, ...]) -> Iterator[str]:
    left = _MOST_FILES
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            left -= 1
            if left < 0:
                return
            if _ends(name, endings):
                yield os.path.join(root, name)
