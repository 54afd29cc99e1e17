"""Comparison of an embedder with the framework's vectors of the same images."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from onnxsearch._internal.open_files import open_to_read
from onnxsearch.embedders.base import Embedder, Tensor
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.types import ImageInput

Parting: TypeAlias = Literal["nowhere", "preprocessing", "model", "both", "unknown"]

_Matrix: TypeAlias = "NDArray[np.float64]"
_HOW = (
    "expected a file as np.savez('reference.npz', images=..., vectors=...) writes it: images "
    "as paths relative to it, or as an array (n, height, width, 3) of uint8, vectors (n, "
    "dimension), and tensors=..., the inputs of the framework's model, if they are at hand"
)


@dataclass(frozen=True, slots=True)
class Verification:
    """How far an embedder agrees with a reference."""

    pictures: int
    """How many images were compared."""
    cosine: float
    """Cosine between the embedder's vector and the reference's, the least of all images."""
    tensor_difference: float | None
    """Largest difference between the inputs of the two models, in their units; 0 is bit
    for bit. None if the reference has no tensors."""
    model_cosine: float | None
    """Like `cosine`, with both models fed the reference's tensors."""
    parts: Parting
    """Where the two differ. Without tensors in the reference that is `unknown`, unless
    another profile agrees."""
    profiles: tuple[str, ...]
    """If they differ: the named profiles that agree with the reference."""

    @property
    def ok(self) -> bool:
        """Whether the embedder gives the reference's vectors."""
        return self.parts == "nowhere"

    def __str__(self) -> str:
        lines = [f"{self.pictures} images: cosine with the reference at least {self.cosine:.6f}"]
        if self.tensor_difference is not None:
            lines.append(f"the model's input differs by at most {self.tensor_difference:.3g}")
        if self.model_cosine is not None:
            lines.append(f"with the same input, the cosine is {self.model_cosine:.6f}")
        lines.append(_VERDICTS[self.parts])
        if self.profiles:
            lines.append(f"profiles that agree: {', '.join(self.profiles)}")
        return "\n".join(lines)


_VERDICTS: Mapping[Parting, str] = {
    "nowhere": "they agree",
    "preprocessing": "they differ in the preprocessing: the profile is not the reference's",
    "model": "they differ in the model: another output, pooling or precision than the reference's",
    "both": "they differ in the preprocessing, and in the model as well",
    "unknown": "they differ; add tensors=... to the reference to learn where",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a framework gave for some images."""

    images: list[ImageInput]
    vectors: _Matrix
    tensors: Tensor | None
    """The inputs of the framework's model, if they are known."""

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Read the file that `OnnxEmbedder.verify` describes.

        Raises:
            InvalidArgumentError: The file cannot be read, or its arrays do not fit.
        """
        return _read(path)


def compare(
    embedder: Embedder,
    shape: tuple[int, ...],
    variants: Iterable[tuple[str, Embedder]],
    expected: Reference,
    least_cosine: float,
) -> Verification:
    """Compare an embedder with a reference, see `OnnxEmbedder.verify`.

    Args:
        embedder: The embedder.
        shape: Shape of the model's input for one image.
        variants: The embedder under other named profiles, by name. They are made only
            where the comparison fails.
        expected: The reference.
        least_cosine: The cosine from which on vectors agree.
    """
    cosine = _agreement(embedder, expected)
    fed = expected.tensors
    difference = model_cosine = None
    if fed is not None:
        own = np.stack([embedder.prepare(image) for image in expected.images])
        fed = _in_layout(shape, own.dtype, fed)
        difference = float(np.abs(own.astype(np.float64) - fed.astype(np.float64)).max())
        model_cosine = _least_cosine(embedder.run(fed), expected.vectors)
    profiles: tuple[str, ...] = ()
    parts: Parting = "nowhere"
    if not cosine >= least_cosine:
        profiles = tuple(
            name for name, other in variants if _agreement(other, expected) >= least_cosine
        )
        parts = "preprocessing" if profiles else "unknown"
        if model_cosine is not None and difference is not None:
            same_model = model_cosine >= least_cosine
            parts = "preprocessing" if same_model else "both" if difference else "model"
    return Verification(
        pictures=len(expected.images),
        cosine=cosine,
        tensor_difference=difference,
        model_cosine=model_cosine,
        parts=parts,
        profiles=profiles,
    )


def _read(path: Path) -> Reference:
    try:
        # NumPy leaves a damaged file open, if it has opened it.
        with open_to_read(path) as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, NpzFile):
                raise ValueError("it holds a single array")
            arrays: dict[str, Tensor] = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidArgumentError(
            f"reference {str(path)!r} cannot be read: {error}; {_HOW}"
        ) from error
    images, vectors, tensors = (arrays.get(name) for name in ("images", "vectors", "tensors"))
    if images is None or vectors is None:
        raise InvalidArgumentError(f"{str(path)!r} holds {sorted(arrays)}; {_HOW}")
    lengths = {len(each) for each in (images, vectors, tensors) if each is not None and each.ndim}
    if vectors.ndim != 2 or len(lengths) != 1 or lengths == {0}:
        shapes = {name: array.shape for name, array in arrays.items()}
        raise InvalidArgumentError(f"{str(path)!r} holds arrays of shapes {shapes}; {_HOW}")
    if any(array.dtype.kind not in "fiu" for array in (vectors, tensors) if array is not None):
        types = {name: str(array.dtype) for name, array in arrays.items()}
        raise InvalidArgumentError(f"{str(path)!r} holds arrays of types {types}; {_HOW}")
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.isfinite(norms).all() and norms.all()):
        raise InvalidArgumentError(f"{str(path)!r}: the vectors hold NaN, infinity or only zeros")
    listed: list[ImageInput]
    if images.dtype.kind == "U":
        listed = [path.parent / str(name) for name in images]
    else:
        listed = list(images)
    return Reference(listed, vectors.astype(np.float64), tensors)


def _in_layout(shape: tuple[int, ...], dtype: np.dtype[np.number], fed: Tensor) -> Tensor:
    """Return the reference's tensors in the order of axes, and the type, of the model."""
    if fed.ndim == 4 and fed.shape[1:] != shape:
        fed = fed.transpose(0, 3, 1, 2) if shape[0] == 3 else fed.transpose(0, 2, 3, 1)
    if fed.shape[1:] != shape:
        raise InvalidArgumentError(
            f"the reference's tensors are {fed.shape}: expected (n, {', '.join(map(str, shape))}), "
            "the shape of the profile's tensors"
        )
    return np.ascontiguousarray(fed, dtype)


def _agreement(embedder: Embedder, expected: Reference) -> float:
    return _least_cosine(embedder.embed(expected.images), expected.vectors)


def _least_cosine(found: Tensor, expected: _Matrix) -> float:
    if found.shape != expected.shape:
        raise InvalidArgumentError(
            f"the reference's vectors are {expected.shape}, the embedder's {found.shape}: expected "
            "the same output and pooling"
        )
    rows = found.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((rows * expected).sum(axis=1) / norms).min())
