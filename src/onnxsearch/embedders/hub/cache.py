"""The cache: where downloaded models are, and whether their bytes are the locked ones."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.paths import target_path
from onnxsearch.embedders.description import ModelSource
from onnxsearch.embedders.hub.lock import LOCK_FILE, LockedFile, LockedModel, ModelLock
from onnxsearch.embedders.hub.names import check_file, check_repository, check_revision
from onnxsearch.errors import (
    DownloadError,
    InvalidArgumentError,
    ModelChecksumError,
    ModelNotDownloadedError,
)

CACHE_VARIABLE = "ONNXSEARCH_HUB"
"""The environment variable that names the cache's folder."""


class ModelCache:
    """A folder of downloaded models and its lock file.

    The files of a repository are in `OWNER--REPOSITORY/REVISION/`, under the names that they
    have there. The folder can be moved, copied and mounted read-only.

    Args:
        folder: The folder. By default the one that `ONNXSEARCH_HUB` names, or `onnxsearch`
            in the user's cache folder.

    Raises:
        InvalidArgumentError: No folder can have that name.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        given = os.environ.get(CACHE_VARIABLE) or None if folder is None else folder
        self.folder = _default_folder() if given is None else target_path(given, "cache")

    @property
    def lock_path(self) -> Path:
        """The lock file."""
        return self.folder / LOCK_FILE

    def lock(self) -> ModelLock:
        """Read the lock file.

        Raises:
            ModelChecksumError: It cannot be read.
        """
        return ModelLock.read(self.lock_path)

    def place(self, model: LockedModel) -> Path:
        """Return the folder of a model's files."""
        return self.folder / model.repository.replace("/", "--") / model.revision

    def place_of_new(self, model: LockedModel, name: str) -> Path:
        """Return where a file of a model is to be written; its folder is made.

        Raises:
            DownloadError: A link would lead out of the cache.
            OSError: The folder cannot be made.
        """
        path = self.place(model) / name
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(self.folder)):
            raise DownloadError(
                f"{str(path.parent)!r} leads out of the cache {str(self.folder)!r}: expected a "
                "folder, not a link"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def verify(self, model: LockedModel, name: str) -> Path:
        """Return the path of a file of a model, after its bytes were compared with the lock.

        Raises:
            ModelNotDownloadedError: The file does not exist.
            ModelChecksumError: It has other bytes, or leads out of the cache.
        """
        folder = self.place(model)
        path, locked = folder / name, model.files[name]
        real = Path(os.path.realpath(path))
        if not os.path.lexists(path):
            raise ModelNotDownloadedError(
                f"{str(path)!r} does not exist, though the lock file lists it: download it again "
                "with `onnxsearch models get`"
            )
        if not real.is_relative_to(os.path.realpath(folder)) or not real.is_file():
            raise ModelChecksumError(
                f"{str(path)!r} is not a regular file inside the cache: expected a file, or a link "
                "to one beside it"
            )
        found = digested(real, locked.size)
        if found != locked:
            raise ModelChecksumError(
                f"{str(path)!r} has sha256 {found.sha256} ({found.size} bytes): expected "
                f"{locked.sha256} ({locked.size} bytes), which {str(self.lock_path)!r} holds. The "
                "file was changed or damaged: download it again with `onnxsearch models get`"
            )
        return path

    def check(self) -> Iterator[CheckedFile]:
        """Compare every file with the lock file, and yield the results.

        Raises:
            ModelChecksumError: The lock file cannot be read.
        """
        for model in self.lock():
            for name in model.files:
                problem = None
                try:
                    self.verify(model, name)
                except (ModelChecksumError, ModelNotDownloadedError) as error:
                    problem = str(error)
                yield CheckedFile(model, name, problem)

    def holds(self, model: LockedModel, names: Iterable[str]) -> bool:
        """Return whether files of a model are there with the locked bytes."""
        try:
            for name in names:
                self.verify(model, name)
        except (KeyError, ModelChecksumError, ModelNotDownloadedError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file of the cache that was compared with the lock file."""

    model: LockedModel
    name: str
    problem: str | None
    """What is wrong with it; None if its bytes are the locked ones."""


def digested(path: Path, expected: int | None = None) -> LockedFile:
    """Return size and digest of a file.

    A file of another size than `expected` is not read: its digest is "not computed".

    Raises:
        ModelChecksumError: It cannot be read.
    """
    try:
        with open_to_read(path) as file:
            size = os.fstat(file.fileno()).st_size
            if expected is not None and size != expected:
                return LockedFile(size, "not computed")
            return LockedFile(size, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise ModelChecksumError(f"{str(path)!r} cannot be read: {error}") from error


def cached_paths(source: ModelSource, name: str | None) -> list[str]:
    """Return where a file of a model may be in the cache; none of the paths is looked at.

    Args:
        source: The model's file on the hub. It may come from anywhere, and be anything.
        name: The file's own name. A tokenizer is beside the model's file, or in a folder above.
    """
    try:
        repository = check_repository(source.name)
        revision = check_revision(source.revision or "")
        file = PurePosixPath(check_file(source.file or ""))
        wanted = file.name if name is None else check_file(name)
    except InvalidArgumentError:
        return []
    place = ModelCache().place(LockedModel(repository, revision, None))
    return [str(place / folder / wanted) for folder in file.parents]


def _default_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return target_path(os.path.join(base, "onnxsearch", "models"))
