"""What an index remembers of a model, so that it can be opened again: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onnxsearch._internal.version import VERSION
from onnxsearch.types import JSONValue, Metric

SourceKind: TypeAlias = Literal["bundled", "hub"]

REGIONS = "regions"
"""The setting of a description that names the inner tensor which vectors of regions come from."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model, known by its content."""

    sha256: str
    """Hash of its bytes, in hex."""
    size: int
    """Number of its bytes."""
    name: str | None = None
    """The name of the file; None if the model was given as bytes."""
    path: str | None = None
    """The absolute path that it was opened from; None if it was given as bytes, or comes
    with the package."""
    weights: tuple[str, ...] = ()
    """Hashes of the files with weights that it refers to, in the order of their names."""
    beside: str | None = field(default=None, compare=False)
    """The absolute path that it has if it moved with the index, in or beside whose folder it
    was; None if it was elsewhere."""

    @property
    def paths(self) -> list[str]:
        """Where the file may be, the likelier path first."""
        return list(dict.fromkeys(path for path in (self.beside, self.path) if path is not None))


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, if not from a file of the user."""

    kind: SourceKind
    """`bundled`: it comes with the package. `hub`: it was downloaded from a hub."""
    name: str
    """The name of the bundled model, or the repository of the hub, as `owner/name`."""
    revision: str | None = None
    """The commit of the repository; of a bundled model, the revision of its profile."""
    file: str | None = None
    """The file in the repository."""


@dataclass(frozen=True, slots=True)
class TextModelDescription:
    """The text model that belongs to an image model."""

    file: ModelFile
    tokenizer: ModelFile
    settings: Mapping[str, JSONValue]
    """As `ModelDescription.settings`."""
    source: ModelSource | None = None


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What an embedder says of itself; see `Embedder.describe`."""

    name: str
    class_name: str
    """Import path of the embedder's class."""
    dimension: int
    """Numbers in a vector (bits, for `Metric.HAMMING`)."""
    metric: Metric
    fingerprint: str
    """Identifies the vector space; see `Embedder.fingerprint`."""
    file: ModelFile | None = None
    """The file of the model; None if the embedder has none."""
    source: ModelSource | None = None
    settings: Mapping[str, JSONValue] = field(default_factory=dict[str, JSONValue])
    """What else the class is called with to make the embedder again, as JSON has it. Of an
    `OnnxEmbedder`: `profile` (complete), `output`, `pooling`, `layout`, `regions` and `draft`."""
    text: TextModelDescription | None = None
    version: str = field(default=VERSION, compare=False)
    """The version of onnxsearch that made the description."""

    @property
    def profile(self) -> str | None:
        """The name of the preprocessing profile; None if the embedder has none."""
        match self.settings.get("profile"):
            case {"name": str() as name}:
                return name
        return None


def differences(now: ModelDescription, before: ModelDescription) -> list[str]:
    """Return in words why a model gives other vectors than one that was described before."""
    compared = [
        ("class", now.class_name, before.class_name),
        ("profile", now.profile, before.profile),
    ]
    found = [
        f"{what} {new!r:.80} instead of {old!r:.80}" for what, new, old in compared if new != old
    ]
    for setting in ("output", "pooling", "draft"):
        new, old = now.settings.get(setting), before.settings.get(setting)
        if new != old:
            found.append(f"{setting} {new!r:.80} instead of {old!r:.80}")
    if now.profile == before.profile and now.settings.get("profile") != before.settings.get(
        "profile"
    ):
        found.append(f"other values in profile {now.profile!r:.80}")
    if now.file is not None and before.file is not None:
        if now.file.sha256 != before.file.sha256:
            found.append("another model file")
        elif now.file.weights != before.file.weights:
            found.append("other weights beside the model file")
    return found


def class_path(cls: type) -> str:
    """Return the import path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"
