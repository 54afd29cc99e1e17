"""Which files of the cache a name stands for, verified, and how they are loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from onnxsearch._internal.validation import text
from onnxsearch.embedders.description import ModelSource
from onnxsearch.embedders.hub.cache import ModelCache
from onnxsearch.embedders.hub.catalogue import CataloguedModel, catalogued
from onnxsearch.embedders.hub.lock import LockedModel
from onnxsearch.embedders.hub.names import check_file, check_repository, check_revision
from onnxsearch.embedders.onnx.external_data import model_name, weight_files
from onnxsearch.embedders.onnx.pooling import Pooling
from onnxsearch.errors import (
    InvalidArgumentError,
    ModelChecksumError,
    ModelNotDownloadedError,
    ProfileError,
)
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.model_config import SIDECARS
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.preprocessing.timm import timm_profile

TOKENIZER = "tokenizer.json"

_TEXT_PROFILES = {
    ("CLIPTokenizer", "clip"): "clip",
    ("SiglipTokenizer", "siglip"): "siglip",
    ("GemmaTokenizer", "siglip"): "siglip2",
    ("GemmaTokenizer", "siglip2"): "siglip2",
}
"""Names of text profiles, by the tokenizer's class and the model's type in transformers."""


@dataclass(frozen=True, slots=True)
class CachedImageModel:
    """An image model in the cache, and how it is loaded."""

    path: str
    name: str
    digest: bytes
    """What `model_digest` returns for it."""
    profile: PreprocessingProfile | None
    """Its profile, where the catalogue holds it; None for that of the files beside it."""
    pooling: Pooling | None
    has_text: bool
    """Whether its text tower is in the cache."""
    source: ModelSource


@dataclass(frozen=True, slots=True)
class CachedTextModel:
    """A text model in the cache, and how it is loaded."""

    path: str
    tokenizer: str
    digest: bytes
    """What `model_digest` returns for it."""
    profile: str | None
    """Name of its text profile; None if nothing says it."""
    source: ModelSource


def image_model(
    name: str, revision: str | None, file: str | None, cache: str | os.PathLike[str] | None
) -> CachedImageModel:
    """Return an image model, after all of its files were compared with the lock file.

    Raises:
        ModelNotDownloadedError: It is not in the cache.
        ModelChecksumError: A file has other bytes, or does not belong to the model.
        UnknownModelError: The catalogue has no such name.
        InvalidArgumentError: An argument is of another type or form.
    """
    found = _Resolved.of(name, revision, file, ModelCache(cache), part="image")
    entry = found.entry
    tower = None if entry is None else entry.text
    digest = found.verified_model(found.file)
    profile = None if entry is None or entry.timm is None else _timm_profile(entry)
    return CachedImageModel(
        found.path(found.file),
        found.embedder_name,
        digest,
        profile,
        None if entry is None else entry.pooling,
        tower is not None and tower.model in found.model.files,
        found.source(found.file),
    )


def text_model(
    name: str, revision: str | None, file: str | None, cache: str | os.PathLike[str] | None
) -> CachedTextModel:
    """Return a text model, after all of its files were compared with the lock file.

    Raises:
        ModelNotDownloadedError: It is not in the cache.
        ModelChecksumError: A file has other bytes, or does not belong to the model.
        UnknownModelError: The catalogue has no such name.
        InvalidArgumentError: An argument is of another type or form, or the model has no
            text tower.
    """
    found = _Resolved.of(name, revision, file, ModelCache(cache), part="text")
    if found.entry and found.entry.text:
        return _text(found, found.file, found.entry.text.tokenizer, found.entry.text.profile)
    return _text(found, found.file, found.nearest(TOKENIZER), _text_profile(found))


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A file of a model in the cache."""

    cache: ModelCache
    model: LockedModel
    file: str
    entry: CataloguedModel | None
    """The catalogue's entry, if the model was asked for by its name."""
    command: str
    """The command that downloads it."""

    @classmethod
    def of(
        cls,
        name: str,
        revision: str | None,
        file: str | None,
        cache: ModelCache,
        *,
        part: str,
    ) -> _Resolved:
        """Find the file that a name, or a repository with revision and file, stands for."""
        expected = "the name of a catalogued model, or owner/repository"
        entry = None if "/" in text("name", name, expected) else catalogued(name)
        repository = check_repository(name) if entry is None else entry.repository
        if revision is not None:
            check_revision(revision)
        lock = cache.lock()
        if entry is None:
            revision, file = _told(repository, revision, file)
            command = f"onnxsearch models get {name} --revision {revision} --file {file}"
        else:
            file = _file_of(entry, part) if file is None else check_file(file)
            revision = revision or lock.names.get(name) or entry.revision
            command = f"onnxsearch models get {name}"
        model = None if revision is None else lock.model(repository, revision)
        if model is None or file not in model.files:
            raise ModelNotDownloadedError(
                f"model {name!r} is not in the cache {str(cache.folder)!r}. Nothing is downloaded "
                f"here: run `{command}` once, or set ONNXSEARCH_HUB to the folder that has it"
            )
        return cls(cache, model, file, entry, command)

    @property
    def embedder_name(self) -> str:
        """Name of the embedder: the catalogue's or the repository's, and the file's."""
        base = self.model.repository.split("/")[1] if self.entry is None else self.entry.name
        if self.entry is not None and self.file == self.entry.image:
            return base
        stem = str(PurePosixPath(self.file).with_suffix("")).replace("/", "-")
        return model_name(f"{base}.{stem}.onnx")

    def path(self, name: str) -> str:
        """Return the path of a file, which is not looked at."""
        return str(self.cache.place(self.model) / name)

    def source(self, name: str) -> ModelSource:
        """Return where a file comes from."""
        return ModelSource("hub", self.model.repository, self.model.revision, name)

    def verified(self, name: str) -> str:
        """Return the digest of a file, after its bytes were compared with it."""
        self.cache.verify(self.model, name)
        return self.model.files[name].sha256

    def verified_model(self, name: str) -> bytes:
        """Return the `model_digest` of a model, all files around it being verified."""
        folders = self._folders(name)
        for folder in folders[:2]:
            for each in SIDECARS:
                beside = str(folder / each)
                if beside in self.model.files:
                    self.verified(beside)
                elif os.path.lexists(self.path(beside)):
                    # It would decide how images are prepared.
                    raise ModelChecksumError(
                        f"{self.path(beside)!r} is not one of the files that were downloaded: "
                        "delete it"
                    )
        digests = [self.verified(name)]
        for weights in weight_files(self.cache.place(self.model) / name):
            beside = str(folders[0] / weights)
            if beside not in self.model.files:
                raise ModelChecksumError(
                    f"{self.path(name)!r} has weights in {weights!r:.100}, which is not one of the "
                    f"files that were downloaded: run `{self.command}` again"
                )
            digests.append(self.verified(beside))
        return b"".join(map(bytes.fromhex, digests))

    def nearest(self, name: str) -> str:
        """Return the file of this name beside the model's file, or in a folder above.

        Raises:
            ModelNotDownloadedError: There is none.
        """
        for folder in self._folders(self.file):
            if str(folder / name) in self.model.files:
                return str(folder / name)
        raise ModelNotDownloadedError(
            f"no {name} of {self.model.repository} is in the cache {str(self.cache.folder)!r}: "
            f"run `{self.command} --file {name}`"
        )

    @staticmethod
    def _folders(name: str) -> Sequence[PurePosixPath]:
        return PurePosixPath(name).parents


def _told(repository: str, revision: str | None, file: str | None) -> tuple[str, str]:
    """Return revision and file of a model that is asked for by its repository."""
    if revision is None or file is None:
        missing = "revision" if revision is None else "file"
        raise InvalidArgumentError(
            f"{missing} is missing: expected hub({repository!r}, revision='...', file='...'), with "
            "a commit of 40 hex digits and a file such as 'onnx/model.onnx', since a repository "
            "changes and holds several models"
        )
    return revision, check_file(file)


def _file_of(entry: CataloguedModel, part: str) -> str:
    if part == "image":
        return entry.image
    if entry.text is None:
        raise InvalidArgumentError(
            f"name {entry.name!r}: that model has no text tower in the catalogue"
            f"{f' ({entry.note})' if entry.note else ''}"
        )
    return entry.text.model


def _text(found: _Resolved, model: str, tokenizer: str, profile: str | None) -> CachedTextModel:
    if tokenizer not in found.model.files:
        raise ModelNotDownloadedError(
            f"{tokenizer} of {found.model.repository} is not in the cache: run `{found.command}`"
        )
    found.verified(tokenizer)
    return CachedTextModel(
        found.path(model),
        found.path(tokenizer),
        found.verified_model(model),
        profile,
        found.source(model),
    )


def _text_profile(found: _Resolved) -> str | None:
    """Return the name of the text profile that the configuration of transformers stands for."""
    try:
        configs = [
            Config.read(found.cache.verify(found.model, found.nearest(name)))
            for name in ("tokenizer_config.json", "config.json")
        ]
    except ModelNotDownloadedError:
        return None
    try:
        kind = configs[0].text("tokenizer_class", "").removesuffix("Fast")
        return _TEXT_PROFILES.get((kind, configs[1].text("model_type", "")))
    except ProfileError:
        return None


def _timm_profile(entry: CataloguedModel) -> PreprocessingProfile:
    config = Config(entry.timm or {}, f"catalogue, {entry.name}")
    return PreprocessingProfile.of(timm_profile(config))
