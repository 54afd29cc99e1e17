"""Copies of downloaded models for machines without network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.paths import target_path
from onnxsearch.embedders.hub.cache import ModelCache
from onnxsearch.embedders.hub.catalogue import catalogued
from onnxsearch.embedders.hub.lock import LockedModel, ModelLock
from onnxsearch.embedders.hub.names import check_repository
from onnxsearch.errors import DownloadError, InvalidArgumentError, ModelNotDownloadedError


def export(
    cache: ModelCache, folder: str | os.PathLike[str], names: Sequence[str] = ()
) -> list[LockedModel]:
    """Copy models with all their files and a lock file, and return what was copied.

    The folder is a cache itself: `OnnxEmbedder.hub(name, cache=folder)` uses it. Models
    that it holds already stay. Every file is compared with the lock file before it is copied.

    Args:
        cache: Where the models are.
        folder: Where to; it is made if it does not exist.
        names: Names of the catalogue, or repositories. All models if there are none.

    Raises:
        ModelNotDownloadedError: A model is not in the cache.
        ModelChecksumError: A file does not have the locked bytes, or the folder holds the
            same model with others.
        DownloadError: The folder cannot be written.
        InvalidArgumentError: The folder is the cache itself, or a name is not one.
    """
    target = ModelCache(target_path(folder, "DIR"))
    if os.path.realpath(target.folder) == os.path.realpath(cache.folder):
        raise InvalidArgumentError(f"DIR {str(target.folder)!r} is the cache itself")
    lock, written = cache.lock(), target.lock()
    chosen = _chosen(cache, lock, names)
    for model in chosen:
        written = written.with_model(model)
    revisions = {model.revision for model in chosen}
    kept = {name: at for name, at in lock.names.items() if at in revisions}
    try:
        for model in chosen:
            for name in model.files:
                _copy(cache.verify(model, name), target.place_of_new(model, name))
        ModelLock(written.models, {**written.names, **kept}).write(target.lock_path)
    except OSError as error:
        raise DownloadError(
            f"{str(target.folder)!r} cannot be written: {error.strerror or error}"
        ) from error
    return chosen


def _chosen(cache: ModelCache, lock: ModelLock, names: Sequence[str]) -> list[LockedModel]:
    if not names:
        found = list(lock)
        if not found:
            raise ModelNotDownloadedError(
                f"no model is in the cache {str(cache.folder)!r}: run `onnxsearch models get NAME`"
            )
        return found
    chosen = []
    for name in dict.fromkeys(names):
        repository = check_repository(name) if "/" in name else catalogued(name).repository
        found = [model for model in lock if model.repository == repository]
        if not found:
            raise ModelNotDownloadedError(
                f"model {name!r} is not in the cache {str(cache.folder)!r}: run `onnxsearch models "
                f"get {name}`"
            )
        chosen.extend(found)
    return chosen


def _copy(source: Path, target: Path) -> None:
    with open_to_read(source) as file, new_file(target) as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
