"""An image, opened for several embedders and decoded as rarely as they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from onnxsearch.embedders.base import Embedder
from onnxsearch.images.reading import DRAFTED, ReadPolicy

if TYPE_CHECKING:
    from PIL import Image


def opened_for(
    embedders: Sequence[Embedder], policy: ReadPolicy, opener: Callable[[ReadPolicy], Image.Image]
) -> Iterator[tuple[Embedder, Image.Image]]:
    """Yield each embedder with the image as it takes it.

    A vector must not depend on the other models of the engine. So an image that one model has
    decoded at a reduced size is decoded again for a model that wants it larger.

    Args:
        embedders: The embedders. They are yielded in another order.
        policy: How the engine opens images.
        opener: Opens the image by a policy. It is called once if the policies agree, or the
            image is too small to be reduced by any.

    Raises:
        ImageError: The image cannot be used.
    """
    policies = [(embedder, embedder.reading_for(policy)) for embedder in embedders]
    image, last = None, policy
    # A whole image stays whole under every larger draft.
    for embedder, wanted in sorted(policies, key=lambda pair: pair[1].draft or float("inf")):
        if image is None or (DRAFTED in image.info and wanted != last):
            image, last = opener(wanted), wanted
        yield embedder, image
