"""Comparison of the real libraries' tensors with those of our profiles for the same files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import open_image
from tools.golden.images import GoldenImage

Tensor = NDArray[np.float32]
SAMPLE = "300x200"
SAMPLE_STEP = 16


@dataclass(frozen=True, slots=True)
class Case:
    """A profile, and the library's own way from the file's image to a tensor."""

    name: str
    profile: PreprocessingProfile
    reference: Callable[[Image.Image], Tensor]
    """From an image just opened, not decoded yet, to (height, width, 3) float32."""


@dataclass(slots=True)
class Result:
    """How one case went."""

    name: str
    equal: int = 0
    different: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Pictures that the library itself cannot take."""
    digests: dict[str, str] = field(default_factory=dict)
    sample: Tensor | None = None

    def __str__(self) -> str:
        total = self.equal + len(self.different)
        text = f"{self.name}: {self.equal}/{total} equal"
        if self.refused:
            text += f"; the library refuses {', '.join(self.refused)}"
        if self.different:
            text += f"; DIFFERENT: {', '.join(self.different)}"
        return text


def digest(tensor: Tensor) -> str:
    """Return a hash of the tensor's bits, (height, width, 3)."""
    return hashlib.sha256(np.ascontiguousarray(tensor, "<f4").tobytes()).hexdigest()[:24]


def compare(case: Case, images: Iterable[GoldenImage]) -> Result:
    """Run both on each image."""
    result = Result(case.name)
    for image in images:
        try:
            expected = case.reference(Image.open(io.BytesIO(image.data)))
        except (ValueError, TypeError, OSError) as error:
            result.refused.append(f"{image.name} ({type(error).__name__})")
            continue
        tensor = case.profile.apply(open_image(image.data), "NHWC")
        if expected.dtype == np.float32 and digest(tensor) == digest(expected):
            result.equal += 1
        else:
            result.different.append(f"{image.name} ({_difference(tensor, expected)})")
        result.digests[image.name] = digest(expected)
        if image.name == SAMPLE:
            result.sample = expected[::SAMPLE_STEP, ::SAMPLE_STEP]
    return result


def _difference(tensor: Tensor, expected: Tensor) -> str:
    if tensor.shape != expected.shape:
        return f"shape {tensor.shape}, expected {expected.shape}"
    if expected.dtype != np.float32:
        return f"the library gives {expected.dtype}"
    gap = np.abs(tensor - expected)
    return f"{(gap > 0).mean():.2%} of values by up to {gap.max():.3g}"
