"""The adapter of huggingface_hub, the only code that opens a connection for a model."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from onnxsearch.embedders.hub.names import check_revision
from onnxsearch.errors import (
    DownloadError,
    InvalidArgumentError,
    MissingExtraError,
    without_secrets,
)

ENDPOINT = "https://huggingface.co"

Report: TypeAlias = "Callable[[str, int, int], None]"
"""Called while a file arrives: its name, the bytes so far, and the bytes in all."""

_PAUSES = (1.0, 3.0, 8.0)
"""Seconds before the second, third and fourth attempt, while a server is busy or a line drops."""
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_TIMEOUT = 30.0
_MOST_SENDINGS = 3
"""How often the bytes of a file are received, at most, over a line that drops."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a repository on the hub."""

    name: str
    size: int
    sha256: str | None
    """Digest of its bytes, for large files."""
    blob: str | None
    """Git's digest, for small ones."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repository at one commit."""

    repository: str
    revision: str
    licence: str | None
    """What the repository's page states."""
    files: Mapping[str, RemoteFile]


class HubClient:
    """A hub: the one at `HF_ENDPOINT`, or https://huggingface.co.

    A token comes from where huggingface_hub looks for it: `HF_TOKEN`, or a login. It is
    sent to that address only, and is in no message.

    Raises:
        MissingExtraError: The package huggingface_hub is not installed.
        InvalidArgumentError: `HF_ENDPOINT` is not an address.
    """

    def __init__(self) -> None:
        self._hub = _huggingface_hub()
        self._endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if urlsplit(self._endpoint).scheme not in ("http", "https"):
            raise InvalidArgumentError(
                f"HF_ENDPOINT {without_secrets(self._endpoint)!r:.200}: expected an address that "
                "begins with https:// or http://"
            )

    @property
    def address(self) -> str:
        """The hub's address, for messages."""
        return without_secrets(self._endpoint)

    def listing(self, repository: str, revision: str | None) -> Listing:
        """Return the files of a repository at a commit, or at the head of its main branch.

        Raises:
            DownloadError: There is no such repository or commit, or the hub cannot be reached.
        """
        api = self._hub.HfApi(endpoint=self._endpoint, library_name="onnxsearch")
        what = f"{repository} at {revision}" if revision else repository
        try:
            info = self._attempt(
                lambda: api.model_info(
                    repository, revision=revision, files_metadata=True, timeout=_TIMEOUT
                ),
                what,
            )
            found = check_revision(info.sha)
            files = [_remote_file(each) for each in info.siblings or []]
            licence = _licence(info.card_data)
        except (InvalidArgumentError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DownloadError(
                f"what {self.address} says about {what} cannot be understood: {_first_line(error)}"
            ) from error
        if revision is not None and found != revision:
            raise DownloadError(
                f"{self.address} gave commit {found} of {repository}, and not {revision}"
            )
        return Listing(repository, found, licence, {file.name: file for file in files})

    def fetch(self, listing: Listing, name: str, folder: Path, report: Report) -> Path:
        """Download one file of a repository into a folder, and return its path.

        No more bytes are written than the listing announces. The bytes are not compared with
        any digest.

        Raises:
            DownloadError: It failed, also after several attempts, or the disk is full.
        """
        remote = listing.files[name]
        return Path(
            self._attempt(
                lambda: self._hub.hf_hub_download(
                    listing.repository,
                    name,
                    revision=listing.revision,
                    local_dir=folder,
                    # Files that other programs have downloaded are theirs.
                    cache_dir=folder / ".other",
                    endpoint=self._endpoint,
                    library_name="onnxsearch",
                    tqdm_class=lambda **_: _ByteCounter(remote, report),
                ),
                f"{name} of {listing.repository}",
            )
        )

    def _attempt(self, request: Callable[[], Any], what: str) -> Any:
        """Return what a request gives, after more attempts if the hub is busy.

        Raises:
            DownloadError: It failed.
        """
        errors = self._hub.errors
        for pause in (*_PAUSES, None):
            try:
                return request()
            except errors.HfHubHTTPError as error:
                status = getattr(error.response, "status_code", None)
                if status not in _BUSY or pause is None:
                    raise DownloadError(self._refusal(error, status, what)) from error
            except (OSError, ValueError, errors.HTTPError) as error:
                if pause is None or not _is_transient(error):
                    raise DownloadError(
                        f"{what} cannot be downloaded from {self.address}: {_first_line(error)}"
                    ) from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _refusal(self, error: Exception, status: int | None, what: str) -> str:
        errors = self._hub.errors
        if isinstance(error, errors.GatedRepoError):
            reason = "its owner asks for an agreement: accept it there, and run `hf auth login`"
        elif isinstance(error, errors.RevisionNotFoundError):
            reason = "there is no such commit"
        elif isinstance(error, errors.EntryNotFoundError):
            reason = "there is no such file"
        elif isinstance(error, errors.RepositoryNotFoundError):
            reason = "there is no such repository, or it is private: `hf auth login` gives access"
        elif status in _BUSY:
            reason = f"the hub answered {status} {len(_PAUSES) + 1} times: try again later"
        else:
            reason = f"the hub answered {status}"
        return f"{what} cannot be downloaded from {self.address}: {reason}"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time change a cache; others wait for it.

    Raises:
        MissingExtraError: The package filelock is not installed.
        OSError: The folder cannot be written.
    """
    try:
        from filelock import FileLock
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_package("filelock", extra="hub") from error
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


def _huggingface_hub() -> ModuleType:
    # It reports its use, and which program calls it, unless told not to before it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Its other way of transfer has servers, limits and a cache of several gigabytes of its own.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils.logging
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_package("huggingface-hub", extra="hub") from error
    hub: ModuleType = huggingface_hub
    # For a process that imported it before.
    hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    hub.constants.HF_HUB_DISABLE_XET = True
    # Its warnings hold addresses with signatures; what fails is an error of ours.
    hub.utils.logging.set_verbosity_error()
    return hub


def _is_transient(error: Exception) -> bool:
    """Whether another attempt may succeed: a dropped line, but no full disk, no refusal."""
    name = type(error).__name__
    dropped = ("Timeout", "RemoteProtocol", "ReadError")
    # huggingface_hub raises a bare OSError for a body of another length.
    return any(part in name for part in dropped) or "Consistency check failed" in str(error)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    # An address may hold a signature.
    return re.sub(r"\w+://\S+", lambda found: without_secrets(found[0]), text.splitlines()[0])[:300]


def _remote_file(entry: Any) -> RemoteFile:
    size = entry.size
    if type(size) is not int or size < 0:
        raise ValueError(f"the size of {entry.rfilename!r:.100} is {size!r:.20}")
    sha256 = None if entry.lfs is None else str(entry.lfs.sha256)
    blob = None if entry.blob_id is None else str(entry.blob_id)
    return RemoteFile(str(entry.rfilename), size, sha256, blob)


def _licence(card: Any) -> str | None:
    if card is None:
        return None
    licence = card.get("license")
    # "other" stands for a text of its own, which has a name in another field.
    if licence == "other":
        licence = card.get("license_name") or licence
    return licence if isinstance(licence, str) else None


class _TooLongError(ValueError):
    """More bytes arrive than were announced."""


class _ByteCounter:
    """What huggingface_hub takes for a progress bar: it reports bytes, and bounds them."""

    def __init__(self, remote: RemoteFile, report: Report) -> None:
        self._remote = remote
        self._report = report
        self._written = self._received = 0

    def __enter__(self) -> _ByteCounter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: float) -> None:
        """Count bytes that arrived; a negative number for those that have to be sent again.

        Raises:
            _TooLongError: They are more than the file has, or than a few attempts take.
        """
        self._written += int(count)
        self._received += max(0, int(count))
        if self._written > self._remote.size:
            raise _TooLongError(f"more than the {self._remote.size} bytes that were announced")
        if self._received > _MOST_SENDINGS * self._remote.size:
            raise _TooLongError(f"the line dropped again and again after {self._written} bytes")
        self._report(self._remote.name, self._written, self._remote.size)
