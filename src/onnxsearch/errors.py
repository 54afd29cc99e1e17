"""The exceptions of onnxsearch.

::

    OnnxSearchError
    ├── InvalidArgumentError          a value that this call cannot take
    │   └── EmptySourceError          a folder with no file to index
    ├── ClosedError                   the engine or store was closed, or opened before a fork
    ├── MissingExtraError             an optional dependency is not installed
    ├── PluginError                   a store or embedder of another package cannot be used
    ├── ImageError                    this image cannot be used
    │   ├── ImageNotFoundError        no such file
    │   ├── BrokenImageError          damaged, or not readable
    │   ├── ImageTooLargeError        more pixels than the limit
    │   └── UnsupportedImageError     not an image, or of an unknown format
    ├── ModelError                    this model cannot be used
    │   ├── ModelLoadError            the file cannot be loaded
    │   │   ├── ModelNotDownloadedError   it is not in the cache of downloaded models
    │   │   └── ModelChecksumError    its bytes are not those of the lock file
    │   ├── DownloadError             a model could not be downloaded
    │   ├── ModelOutputError          the output is ambiguous, or is not a vector
    │   ├── ProfileError              the preprocessing is unknown or does not fit
    │   ├── ProviderError             an execution provider is not available
    │   ├── UnknownModelError         the engine has no model of that name
    │   ├── ModelNotFoundError        a model that the index remembers cannot be opened
    │   └── EmbeddingError            the model ran, and its vectors are unusable
    └── StoreError                    a store failed or refused
        ├── StoreUnavailableError     unreachable, timed out, or gone
        ├── StoreLockedError          held by another process
        ├── StoreCorruptError         what it holds cannot be read
        ├── CollectionNotFoundError   no collection of that name
        ├── SpaceMismatchError        the collection belongs to another vector space
        └── StoreMismatchError        the vectors belong to other records

Catch `OnnxSearchError` to catch all of them. None derives from `ValueError` or `OSError`, so
a handler for those does not catch one by accident. The underlying exception, if there is one, is
kept as `__cause__`.
"""

from __future__ import annotations

from onnxsearch._internal.redaction import may_hold_password, without_secrets

__all__ = [
    "BrokenImageError",
    "ClosedError",
    "CollectionNotFoundError",
    "DownloadError",
    "EmbeddingError",
    "EmptySourceError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "InvalidArgumentError",
    "MissingExtraError",
    "ModelChecksumError",
    "ModelError",
    "ModelLoadError",
    "ModelNotDownloadedError",
    "ModelNotFoundError",
    "ModelOutputError",
    "OnnxSearchError",
    "PluginError",
    "ProfileError",
    "ProviderError",
    "SpaceMismatchError",
    "StoreCorruptError",
    "StoreError",
    "StoreLockedError",
    "StoreMismatchError",
    "StoreUnavailableError",
    "UnknownModelError",
    "UnsupportedImageError",
    "may_hold_password",
    "without_secrets",
]


class OnnxSearchError(Exception):
    """Base class of all errors of this package."""


class InvalidArgumentError(OnnxSearchError):
    """An argument has a wrong type or value; the message says what is expected."""


class EmptySourceError(InvalidArgumentError):
    """The folder to index contains no file."""


class ClosedError(OnnxSearchError):
    """The engine or store was closed before this call, or opened before a fork."""


class MissingExtraError(OnnxSearchError):
    """An optional dependency is missing; the message holds the pip command.

    Example:
        >>> print(MissingExtraError.for_package("rich", extra="cli"))
        'rich' is not installed. Install it with: pip install "onnxsearch[cli]"
    """

    @classmethod
    def for_package(cls, package: str, *, extra: str) -> MissingExtraError:
        """Build the error for `package`, which comes with the extra `extra`."""
        return cls(
            f'{package!r} is not installed. Install it with: pip install "onnxsearch[{extra}]"'
        )


class PluginError(OnnxSearchError):
    """A store or an embedder that another package has registered cannot be used."""


class ImageError(OnnxSearchError):
    """This image cannot be used."""


class ImageNotFoundError(ImageError):
    """The file does not exist."""


class BrokenImageError(ImageError):
    """The image is damaged, empty or not readable."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the limit; it was not decoded."""


class UnsupportedImageError(ImageError):
    """The file is not an image, or has an unknown format."""


class ModelError(OnnxSearchError):
    """This model cannot be used."""


class ModelLoadError(ModelError):
    """ONNX Runtime could not load the model."""


class ModelNotDownloadedError(ModelLoadError):
    """The model is not in the cache; the message holds the command that downloads it."""


class ModelChecksumError(ModelLoadError):
    """A model's file does not have the bytes that the lock file or the hub lists."""


class DownloadError(ModelError):
    """A model could not be downloaded: no connection, a refusal, a licence, a full disk."""


class ModelOutputError(ModelError):
    """The output that holds the vector is ambiguous, or needs pooling."""


class ProfileError(ModelError):
    """The preprocessing is unknown, or does not fit the model."""


class ProviderError(ModelError):
    """A requested execution provider is not available."""


class UnknownModelError(ModelError):
    """The engine has no model of that name."""


class ModelNotFoundError(ModelError):
    """A model that the index remembers is not found, or cannot be made from here."""


class EmbeddingError(ModelError):
    """The model ran, but its vectors cannot be used: NaN, zero, wrong shape."""


class StoreError(OnnxSearchError):
    """A vector store or metadata store failed or refused."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, or did not answer in time."""


class StoreLockedError(StoreError):
    """Another process holds the store."""


class StoreCorruptError(StoreError):
    """What the store holds cannot be read, or is of an unknown format."""


class CollectionNotFoundError(StoreError):
    """The vector store has no collection of that name."""


class SpaceMismatchError(StoreError):
    """The collection was filled by another model, profile, output or dimension."""


class StoreMismatchError(StoreError):
    """The vectors were stored with the records of another metadata store."""
