"""The lock file: which bytes a downloaded model consists of."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.open_files import open_to_read
from onnxsearch.embedders.hub.names import check_file, check_repository, check_revision, is_sha256
from onnxsearch.errors import InvalidArgumentError, ModelChecksumError

LOCK_FILE = "models.lock.json"

_FORMAT = 1
_LARGEST = 16 << 20
"""Bytes of a lock file; a model takes some kilobytes of it."""


@dataclass(frozen=True, slots=True)
class LockedFile:
    """Size and digest of one file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LockedModel:
    """The files of a repository at one commit, as far as they were downloaded."""

    repository: str
    revision: str
    licence: str | None
    files: Mapping[str, LockedFile] = field(default_factory=dict)

    def with_files(self, files: Mapping[str, LockedFile]) -> LockedModel:
        """Return the model with more files.

        Raises:
            ModelChecksumError: A file is locked already, with other bytes.
        """
        for name, file in files.items():
            locked = self.files.get(name)
            if locked is not None and locked != file:
                raise ModelChecksumError(
                    f"{name} of {self.repository} at {self.revision} has sha256 {file.sha256} "
                    f"({file.size} bytes): expected {locked.sha256} ({locked.size} bytes), which "
                    "the lock file holds. One of the two was changed: do not use either until "
                    "you know which"
                )
        return replace(self, files={**self.files, **files})


@dataclass(frozen=True, slots=True)
class ModelLock:
    """All models of a lock file, and the commits that names of the catalogue stand for."""

    models: Mapping[tuple[str, str], LockedModel] = field(default_factory=dict)
    """By repository and revision."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The revision of each name of the catalogue that was downloaded by it."""

    @classmethod
    def read(cls, path: Path) -> ModelLock:
        """Read a lock file; an empty lock if there is no such file.

        Raises:
            ModelChecksumError: The file is damaged, or not a lock file.
        """
        try:
            if os.path.getsize(path) > _LARGEST:
                raise ValueError(f"it is larger than {_LARGEST} bytes")
            with open_to_read(path) as file:
                content = json.loads(file.read().decode())
            return cls._parsed(content)
        except FileNotFoundError:
            return cls()
        except (
            OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError,
            InvalidArgumentError,
        ) as error:  # fmt: skip
            raise ModelChecksumError(
                f"the lock file {str(path)!r} cannot be used: {error}. Restore it from a copy, or "
                "delete it and run `onnxsearch models get` again"
            ) from error

    def model(self, repository: str, revision: str) -> LockedModel | None:
        """Return the locked files of a repository at a commit, if there are any."""
        return self.models.get((repository, revision))

    def revisions(self, repository: str) -> list[str]:
        """Return the locked commits of a repository."""
        return [revision for name, revision in self.models if name == repository]

    def with_model(self, model: LockedModel, name: str | None = None) -> ModelLock:
        """Return a lock that holds `model` as well, under a name of the catalogue if given.

        Raises:
            ModelChecksumError: One of its files is locked already, with other bytes.
        """
        key = model.repository, model.revision
        known = self.models.get(key)
        merged = model if known is None else known.with_files(model.files)
        names = self.names if name is None else {**self.names, name: model.revision}
        return ModelLock({**self.models, key: merged}, names)

    def write(self, path: Path) -> None:
        """Write the lock file; it appears as a whole, or not at all.

        Raises:
            OSError: It cannot be written.
        """
        with new_file(path) as file:
            file.write(self.text().encode())

    def text(self) -> str:
        """Return what a lock file holds: JSON, sorted, so that changes show in a diff."""
        document = {
            "format": _FORMAT,
            "names": dict(sorted(self.names.items())),
            "models": [
                {
                    "repository": model.repository,
                    "revision": model.revision,
                    "licence": model.licence,
                    "files": {
                        name: {"size": file.size, "sha256": file.sha256}
                        for name, file in sorted(model.files.items())
                    },
                }
                for _, model in sorted(self.models.items())
            ],
        }
        return json.dumps(document, indent=2) + "\n"

    def __iter__(self) -> Iterator[LockedModel]:
        return iter(self.models.values())

    @classmethod
    def _parsed(cls, content: Mapping[str, object]) -> ModelLock:
        """Return the lock that a JSON document describes.

        Raises:
            ValueError: It is of another format. So are other errors of wrong types and names.
        """
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r:.20}, expected {_FORMAT}")
        names, models = content["names"], content["models"]
        if not isinstance(names, dict) or not isinstance(models, list):
            raise ValueError("'names' or 'models' are missing")
        found = [_model(each) for each in models]
        return cls(
            {(model.repository, model.revision): model for model in found},
            {str(name): check_revision(revision) for name, revision in names.items()},
        )


def _model(entry: Mapping[str, object]) -> LockedModel:
    repository, revision, licence, files = (
        entry[key] for key in ("repository", "revision", "licence", "files")
    )
    if not (isinstance(repository, str) and isinstance(revision, str) and isinstance(files, dict)):
        raise ValueError("an entry of 'models' is of a wrong type")
    if licence is not None and not isinstance(licence, str):
        raise ValueError("a licence is not a text")
    return LockedModel(
        check_repository(repository),
        check_revision(revision),
        licence,
        {check_file(name): _file(name, values) for name, values in files.items()},
    )


def _file(name: str, values: Mapping[str, object]) -> LockedFile:
    size, sha256 = values["size"], values["sha256"]
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not is_sha256(sha256):
        raise ValueError(f"size or sha256 of {name!r:.100} is not one")
    return LockedFile(size, sha256)
