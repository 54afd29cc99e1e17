"""Names of repositories, revisions and files on a hub, checked before they become paths."""

from __future__ import annotations

import re

from onnxsearch._internal.validation import text
from onnxsearch.errors import InvalidArgumentError

_MOST_FOLDERS = 8
_LONGEST_PATH = 512

# A hub refuses "--" and ".." in names too; "--" joins owner and name in the cache.
_REPOSITORY_PART = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
_REVISION = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# No part is hidden, a drive, a parent folder, or ends in what Windows drops.
_PATH_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._+=@,-]*[A-Za-z0-9_+=@-])?")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)

NEVER_DOWNLOADED = (
    ".bin", ".ckpt", ".gguf", ".h5", ".joblib", ".msgpack", ".npy", ".npz", ".pickle",
    ".pkl", ".pt", ".pth", ".py", ".safetensors", ".sh", ".so", ".tar", ".zip",
)  # fmt: skip
"""Endings of files that are weights of other formats, archives, or can hold code."""


def check_repository(repository: str) -> str:
    """Return `repository` if it is the name of a repository, owner/name.

    Raises:
        InvalidArgumentError: It is not.
    """
    parts = text("name", repository, "the name of a model, or owner/repository").split("/")
    if len(parts) != 2 or not all(map(_REPOSITORY_PART.fullmatch, parts)):
        raise InvalidArgumentError(
            f"name {repository!r:.200}: expected a repository on the hub as owner/name, made of "
            "letters, digits, dots, underscores and hyphens"
        )
    return repository


def check_revision(revision: str) -> str:
    """Return `revision` if it is a full commit id.

    A branch or a tag may move, and other vectors would come from what looks like the same
    model.

    Raises:
        InvalidArgumentError: It is not.
    """
    if not _REVISION.fullmatch(text("revision", revision, "a commit of 40 hex digits")):
        raise InvalidArgumentError(
            f"revision {revision!r:.200}: expected a commit of 40 hex digits, since branches and "
            "tags move. The page of the repository lists its commits"
        )
    return revision


def check_file(file: str) -> str:
    """Return `file` if it is the path of a file inside a repository, with `/` between folders.

    Raises:
        InvalidArgumentError: It is not, or would leave the repository's folder.
    """
    parts = text("file", file, "the path of a file in the repository").split("/")
    safe = all(_PATH_PART.fullmatch(part) and not _DEVICES.fullmatch(part) for part in parts)
    if not safe or len(parts) > _MOST_FOLDERS or len(file) > _LONGEST_PATH:
        raise InvalidArgumentError(
            f"file {file!r:.200}: expected the path of a file in the repository, such as "
            "'onnx/model.onnx'"
        )
    return file


def is_sha256(value: object) -> bool:
    """Return whether `value` is a SHA-256 digest in lower-case hex."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_downloadable(file: str) -> bool:
    """Return whether the name is safe, and not one of a format that is never downloaded."""
    try:
        check_file(file)
    except InvalidArgumentError:
        return False
    return not file.lower().endswith(NEVER_DOWNLOADED)
