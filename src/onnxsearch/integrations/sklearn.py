"""scikit-learn: a transformer from images to vectors.

Needs the extra `[sklearn]`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxsearch._internal.validation import integer
from onnxsearch.embedders.base import DEFAULT_BATCH, Embedder
from onnxsearch.embedders.bundled import DEFAULT_MODEL
from onnxsearch.embedders.description import ModelDescription
from onnxsearch.errors import InvalidArgumentError, MissingExtraError
from onnxsearch.integrations.vectors import as_embedder, as_numbers
from onnxsearch.locations import make_embedders

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
except ImportError as error:
    raise MissingExtraError.for_package("scikit-learn", extra="sklearn") from error

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from onnxsearch.types import ImageInput

__all__ = ["ImageEmbedder"]

_SETTINGS = ("_sklearn_output_config", "_metadata_request")
"""What scikit-learn's own `clone` copies besides the parameters."""

_IMAGES = (
    "a list of images or paths, a column of paths, or an array of RGB images of shape "
    "(n, height, width, 3) and type uint8"
)


class ImageEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Transformer from images to the vectors of a model.

    `X` is a sequence of images in any form that `Embedder.embed` takes, most often paths: a
    list, an array of strings, a column of a data frame (also as a table of one column), or an
    array of shape (n, height, width, 3) and type uint8. The result is a matrix (n, dimension)
    float32 of unit vectors; of a model with `Metric.HAMMING`, its bits as 0.0 and 1.0.

    The model is not trained, so `fit` only checks the parameters and loads it, and `transform`
    works without. `clone` shares an embedder that was given as an object, and a pickle holds
    the description of an `OnnxEmbedder`: the process that reads it loads the same file, or
    refuses another one.

    Args:
        model: The name of a bundled model or of one that `onnxsearch models get` has downloaded;
            the path of an `.onnx` file that knows its preprocessing; or an `Embedder`.
        batch_size: Images per run of the model, at least 1.

    Example:
        >>> classifier = make_pipeline(ImageEmbedder(), KNeighborsClassifier(5))
        >>> classifier.fit(paths, labels).predict(["new.jpg"])
        array(['bicycle'], dtype='<U7')
    """

    _loaded: tuple[object, Embedder] | None = None
    """The parameter `model`, and the embedder that it stands for."""

    def __init__(
        self,
        model: str | os.PathLike[str] | Embedder = DEFAULT_MODEL,
        *,
        batch_size: int = DEFAULT_BATCH,
    ) -> None:
        self.model = model
        self.batch_size = batch_size

    def fit(self, X: Sequence[ImageInput] | ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Check the parameters and load the model; no image is opened.

        Args:
            X: The images.
            y: Ignored.

        Raises:
            InvalidArgumentError: A parameter has a wrong type or value, or `X` is no sequence of
                images.
            ModelError: The model cannot be used.
        """
        del y
        _images(X)
        integer("batch_size", self.batch_size, least=1)
        self._embedder()
        return self

    def transform(self, X: Sequence[ImageInput] | ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return the vectors of images, one a row.

        Args:
            X: The images.

        Raises:
            ImageError: An image cannot be used.
            InvalidArgumentError: `X` is no sequence of images.
            ModelError: The model cannot be used.
        """
        embedder = self._embedder()
        vectors = embedder.embed(_images(X), batch_size=self.batch_size)
        return as_numbers(vectors, embedder)

    def _embedder(self) -> Embedder:
        # set_params may have changed the model.
        if self._loaded is None or self._loaded[0] is not self.model:
            self._loaded = (self.model, as_embedder(self.model))
        return self._loaded[1]

    @property
    def _n_features_out(self) -> int:
        return self._embedder().dimension

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __sklearn_clone__(self) -> Self:
        # A copy of an embedder would load the model again.
        made = type(self)(**self.get_params(deep=False))
        settings = {name: vars(self)[name] for name in _SETTINGS if name in vars(self)}
        made.__dict__.update(deepcopy(settings))
        return made

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {**super().__getstate__()}
        state.pop("_loaded", None)
        if isinstance(self.model, Embedder):
            description = self.model.describe()
            if description.file is not None:
                state["model"] = description
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["model"], ModelDescription):
            state = {**state, "model": make_embedders([state["model"]], places=[])[0]}
        super().__setstate__(state)


def _images(given: Sequence[ImageInput] | ArrayLike) -> Sequence[ImageInput]:
    """Return the images of an argument `X`, without opening one."""
    # An iterator would be empty after fit.
    if isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray | memoryview):
        return cast("Sequence[ImageInput]", given)
    if not hasattr(given, "__array__"):
        raise InvalidArgumentError(f"X {given!r:.80}: expected {_IMAGES}")
    table: NDArray[Any] = np.asarray(given)
    if table.ndim == 2 and table.shape[1] == 1:
        table = table[:, 0]
    if table.ndim == 1 and table.dtype.kind in "OUT":
        images: list[ImageInput] = table.tolist()
        return images
    if table.ndim == 4 and table.dtype == np.uint8:
        return list(table)
    raise InvalidArgumentError(
        f"X of shape {table.shape} and type {table.dtype}: expected {_IMAGES}"
    )
