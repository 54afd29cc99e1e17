"""Downloads: the wanted files of a model, checked, into the cache and its lock file."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onnxsearch.embedders.hub.cache import ModelCache, digested
from onnxsearch.embedders.hub.catalogue import OPEN_LICENCES, CataloguedModel
from onnxsearch.embedders.hub.client import HubClient, Listing, RemoteFile, Report, exclusive
from onnxsearch.embedders.hub.lock import LockedFile, LockedModel, ModelLock
from onnxsearch.embedders.hub.names import is_downloadable
from onnxsearch.embedders.onnx.external_data import weight_files
from onnxsearch.errors import DownloadError, ModelChecksumError
from onnxsearch.images.preprocessing.model_config import SIDECARS

CONFIGURATIONS = (*SIDECARS, "tokenizer_config.json")
"""Names of small files that are downloaded with every model."""

_LARGEST_CONFIGURATION = 1 << 20
_LARGEST_TOKENIZER = 128 << 20
_LARGEST_MODEL = 8 << 30
_MOST_WEIGHT_FILES = 64
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be downloaded."""

    repository: str
    revision: str | None
    """The commit; None for the one that the head of the main branch points to."""
    files: Sequence[str]
    """The files without which the model cannot be used."""
    entry: CataloguedModel | None = None
    """Its entry in the catalogue, if it is asked for by name."""


def download(
    request: Request,
    cache: ModelCache,
    *,
    accept_licence: bool,
    report: Report,
    pins: ModelLock | None = None,
) -> LockedModel:
    """Download a model, unless it is there, and return its entry in the lock file.

    A model that the lock file holds is downloaded at the commit and with the bytes that it
    holds, wherever the main branch has moved to. Files appear in the cache after all of them
    were checked, and the lock file last, so that an interruption leaves nothing that
    counts. Another process that downloads at the same time waits, and then finds the files.

    Args:
        request: The model.
        cache: Where to.
        accept_licence: Whether its licence is accepted if it is not an open one.
        report: Called while files arrive.
        pins: A lock file that the model has to match as well.

    Raises:
        DownloadError: The hub cannot be reached, refuses, or has no such model; the licence
            has to be accepted; a file is too large, or the disk full.
        ModelChecksumError: What arrived is not what the hub or a lock file says.
        MissingExtraError: The extra `hub` is not installed.
        InvalidArgumentError: `HF_ENDPOINT` is not an address.
    """
    try:
        with exclusive(cache.folder):
            lock = cache.lock()
            pinned = lock if pins is None else _merged(lock, pins)
            revision = request.revision or _pinned_revision(pinned, request)
            name = None if request.entry is None else request.entry.name
            model = None if revision is None else lock.model(request.repository, revision)
            if model is None or not cache.holds(model, {*model.files, *request.files}):
                hub = HubClient()
                listing = hub.listing(request.repository, revision)
                licence = _accepted(listing, request.entry, accept_licence)
                new = LockedModel(request.repository, listing.revision, licence)
                model = lock.model(new.repository, new.revision) or new
                expected = pinned.model(new.repository, new.revision) or new
                with _staging(cache.folder) as folder:
                    arrival = _Arrival(hub, listing, expected, cache, folder, report)
                    # Those that the lock file lists and that are gone come back as well.
                    arrived = arrival.files([*request.files, *model.files])
                    model = model.with_files(arrived)
                    _move(folder, cache, model, arrived)
            changed = lock.with_model(model, name)
            if changed != lock:
                changed.write(cache.lock_path)
            return model
    except OSError as error:
        raise DownloadError(
            f"the cache {str(cache.folder)!r} cannot be written: {error.strerror or error}"
        ) from error


class _Arrival:
    """The files of one model that arrive in a folder, each checked.

    Files that the cache holds are not downloaded again.
    """

    def __init__(
        self,
        hub: HubClient,
        listing: Listing,
        locked: LockedModel,
        cache: ModelCache,
        folder: Path,
        report: Report,
    ) -> None:
        self._hub = hub
        self._listing = listing
        self._locked = locked
        self._cache = cache
        self._folder = folder
        self._report = report

    def files(self, wanted: Sequence[str]) -> dict[str, LockedFile]:
        """Download the wanted files, the configurations around them and their weights."""
        arrived: dict[str, LockedFile] = {}
        for name in dict.fromkeys((*wanted, *self._configurations(wanted))):
            arrived[name] = self._fetch(name)
            if name.endswith(".onnx"):
                for weights in self._weights(name):
                    arrived[weights] = self._fetch(weights)
        return arrived

    def _configurations(self, wanted: Iterable[str]) -> Iterator[str]:
        """Yield the configuration files in the folders of the wanted files and above them."""
        folders = {folder for name in wanted for folder in PurePosixPath(name).parents}
        for name in self._listing.files:
            path = PurePosixPath(name)
            if path.name in CONFIGURATIONS and path.parent in folders:
                yield name

    def _weights(self, model: str) -> Iterator[str]:
        """Yield the files of weights that a model refers to."""
        names = weight_files(self._path(model))
        if len(names) > _MOST_WEIGHT_FILES:
            raise DownloadError(f"{model} has its weights in {len(names)} files")
        for name in names:
            yield str(PurePosixPath(model).parent / name)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        return path if path.exists() else self._cache.place(self._locked) / name

    def _fetch(self, name: str) -> LockedFile:
        if self._cache.holds(self._locked, [name]):
            return self._locked.files[name]
        if not is_downloadable(name) or name not in self._listing.files:
            files = [file for file in self._listing.files if file.endswith(".onnx")]
            raise DownloadError(
                f"{self._listing.repository} at {self._listing.revision} has no file {name!r:.200} "
                f"that may be downloaded. Its models: {', '.join(files[:20]) or 'none'}"
            )
        remote = self._listing.files[name]
        largest = _largest(name)
        if remote.size > largest:
            raise DownloadError(f"{name} has {remote.size} bytes: expected at most {largest}")
        path = self._hub.fetch(self._listing, name, self._folder, self._report)
        found = digested(path)
        _check(path, found, remote)
        self._locked.with_files({name: found})
        return found


def _largest(name: str) -> int:
    if not name.endswith((".json", ".txt")):
        return _LARGEST_MODEL
    configuration = PurePosixPath(name).name in CONFIGURATIONS
    return _LARGEST_CONFIGURATION if configuration else _LARGEST_TOKENIZER


def _check(path: Path, found: LockedFile, remote: RemoteFile) -> None:
    """Compare a file with the hub's listing.

    Raises:
        ModelChecksumError: It has other bytes.
    """
    if remote.sha256 is not None:
        same, expected = found.sha256 == remote.sha256, f"sha256 {remote.sha256}"
    else:
        same, expected = _git_digest(path, found.size) == remote.blob, f"git's {remote.blob}"
    if found.size != remote.size or not same:
        raise ModelChecksumError(
            f"{remote.name} arrived with sha256 {found.sha256} ({found.size} bytes): expected "
            f"{expected} ({remote.size} bytes), which the hub lists. Nothing was kept"
        )


def _git_digest(path: Path, size: int) -> str:
    """Return git's digest of a file, of a header and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _accepted(listing: Listing, entry: CataloguedModel | None, accept: bool) -> str | None:
    """Return the licence.

    Raises:
        DownloadError: It has to be accepted, and is not.
    """
    licence = listing.licence or (None if entry is None else entry.licence)
    if accept or (licence is not None and licence.lower() in OPEN_LICENCES):
        return licence
    stated = "states no licence" if licence is None else f"has the licence {licence!r:.100}"
    raise DownloadError(
        f"{listing.repository} {stated}, which may restrict its use: read it on the page of the "
        "repository, and add --accept-licence if you accept it"
    )


def _pinned_revision(lock: ModelLock, request: Request) -> str | None:
    """Return the commit that a name stands for: the locked one, else the catalogue's."""
    if request.entry is None:
        return None
    return lock.names.get(request.entry.name, request.entry.revision)


def _merged(lock: ModelLock, pins: ModelLock) -> ModelLock:
    for model in pins:
        lock = lock.with_model(model)
    return ModelLock(lock.models, {**lock.names, **pins.names})


@contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    """Give an empty folder inside the cache, and delete it; also those of killed processes."""
    unfinished = cache / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    folder = unfinished / secrets.token_hex(8)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _move(folder: Path, cache: ModelCache, model: LockedModel, names: Iterable[str]) -> None:
    for name in names:
        # The others are there already.
        if (folder / name).exists():
            os.replace(folder / name, cache.place_of_new(model, name))
