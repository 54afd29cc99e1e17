"""Sharpness of an image, as a number."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 512
"""Pixels of the longer side at which sharpness is measured."""


def sharpness(image: Image.Image) -> float:
    """Return the variance of the Laplacian of an image in grey: the greater, the sharper.

    Pech-Pacheco and others, "Diatom Autofocusing in Brightfield Microscopy: a Comparative Study"
    (ICPR 2000). All images are measured at one size, so that the numbers can be compared: an
    image that was blown up is less sharp than one of the same size that was not.

    Args:
        image: At least 512 pixels wide or high, or all that there is of it.

    Returns:
        The variance for levels from 0 to 255.
    """
    scale = SIDE / max(image.size)
    width, height = (max(3, round(side * scale)) for side in image.size)
    grey = image.convert("L").resize((width, height), Image.Resampling.BICUBIC)
    levels = np.asarray(grey, np.float32)
    middle, above, below = levels[1:-1, 1:-1], levels[:-2, 1:-1], levels[2:, 1:-1]
    left, right = levels[1:-1, :-2], levels[1:-1, 2:]
    return float((above + below + left + right - 4 * middle).var(dtype=np.float64))
