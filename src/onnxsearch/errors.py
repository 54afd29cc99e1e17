"""Every error that onnxsearch raises on purpose.

::

    OnnxSearchError
    ├── InvalidArgumentError          a value that this call cannot take
    │   └── EmptySourceError          a folder with no file to index
    ├── ClosedError                   the engine or store was closed, or opened before a fork
    ├── MissingExtraError             an optional dependency is not installed
    ├── ImageError                    this picture cannot be used
    │   ├── ImageNotFoundError        no such file
    │   ├── BrokenImageError          damaged, or not readable
    │   ├── ImageTooLargeError        more pixels than the limit
    │   └── UnsupportedImageError     not a picture, or a format nobody here reads
    ├── ModelError                    this model cannot be used
    │   ├── ModelLoadError            ONNX Runtime refused the file
    │   ├── ModelOutputError          which output to take is unclear, or it is not a vector
    │   ├── ProfileError              preprocessing unknown, or not fitting the model
    │   ├── ProviderError             an execution provider is not available
    │   ├── UnknownModelError         the engine has no model of that name
    │   └── EmbeddingError            the model ran, and its vectors are unusable
    └── StoreError                    a store failed or refused
        ├── StoreUnavailableError     unreachable, timed out, or gone
        ├── StoreLockedError          held by another process
        ├── StoreCorruptError         what it holds cannot be read
        ├── CollectionNotFoundError   no collection of that name
        └── SpaceMismatchError        the collection belongs to another vector space

Catch `OnnxSearchError` to catch them all. None of them derives from
`ValueError` or `OSError`, so that a handler for those never swallows one by
chance. The underlying exception, where there is one, is kept as `__cause__`.
"""

from __future__ import annotations

from onnxsearch._internal.redaction import may_hold_password, without_secrets

__all__ = [
    "BrokenImageError",
    "ClosedError",
    "CollectionNotFoundError",
    "EmbeddingError",
    "EmptySourceError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "InvalidArgumentError",
    "MissingExtraError",
    "ModelError",
    "ModelLoadError",
    "ModelOutputError",
    "OnnxSearchError",
    "ProfileError",
    "ProviderError",
    "SpaceMismatchError",
    "StoreCorruptError",
    "StoreError",
    "StoreLockedError",
    "StoreUnavailableError",
    "UnknownModelError",
    "UnsupportedImageError",
    "may_hold_password",
    "without_secrets",
]


class OnnxSearchError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidArgumentError(OnnxSearchError):
    """A value that this call cannot take; the message says which would do."""


class EmptySourceError(InvalidArgumentError):
    """The folder to index holds no file at all."""


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


class ImageError(OnnxSearchError):
    """This picture cannot be used."""


class ImageNotFoundError(ImageError):
    """There is no such file."""


class BrokenImageError(ImageError):
    """The picture is damaged, empty or not readable."""


class ImageTooLargeError(ImageError):
    """The picture has more pixels than the limit allows; it was not decoded."""


class UnsupportedImageError(ImageError):
    """This is no picture, or it is of a format that nothing here reads."""


class ModelError(OnnxSearchError):
    """This model cannot be used."""


class ModelLoadError(ModelError):
    """ONNX Runtime could not load the model."""


class ModelOutputError(ModelError):
    """It is unclear which output holds the vector, or how to make one of it."""


class ProfileError(ModelError):
    """The preprocessing is unknown, or does not fit the model."""


class ProviderError(ModelError):
    """An execution provider was asked for and is not available."""


class UnknownModelError(ModelError):
    """The engine has no model of that name."""


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
