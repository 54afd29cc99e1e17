"""The order of an image input's axes: (n, 3, height, width) or (n, height, width, 3)."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsearch._internal.validation import choice
from onnxsearch.errors import ModelLoadError
from onnxsearch.images.preprocessing.profile import Layout

_CHANNEL_AXES: dict[Layout, int] = {"NCHW": 1, "NHWC": 3}

# Names that exporters give to open axes.
_CHANNELS, _HEIGHT, _WIDTH = ("channel", "chans", "colo"), ("height",), ("width",)
_SHORT_NAMES = {"c": "channel", "3": "channel", "h": "height", "w": "width"}

_NCHW_INPUTS = frozenset({"pixel_values"})
"""Inputs of transformers' models, which take NCHW in each framework."""


def find_layout(
    name: str,
    shape: Sequence[int | str | None],
    layout: Layout | None = None,
    usual: Layout | None = None,
) -> Layout:
    """Return the order of axes of an input of four axes.

    The caller's word counts first, then the axis of three colours, other axes of a
    fixed size, the axes' names, the input's name, and last the usual order.

    Args:
        name: The input's name.
        shape: Its axes: a size, or a name or None where the size is open.
        layout: The order that the caller states.
        usual: The order that models of the profile usually have.

    Raises:
        InvalidArgumentError: `layout` is not an order of axes.
        ModelLoadError: No axis can hold three colours, or the order is unclear.
    """
    if layout is not None:
        choice("layout", layout, _CHANNEL_AXES)
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    wanted: list[Layout] = list(_CHANNEL_AXES) if layout is None else [layout]
    possible: list[Layout] = [each for each in wanted if sizes[_CHANNEL_AXES[each]] in (3, None)]
    if not possible:
        stated = "" if layout is None else f", and layout={layout!r}"
        raise ModelLoadError(
            f"input {name!r} has the axes {list(shape)}{stated}: expected 3 colours, as "
            "(n, 3, height, width) or (n, height, width, 3)"
        )
    coloured: list[Layout] = [each for each in possible if sizes[_CHANNEL_AXES[each]] == 3]
    if coloured or len(possible) == 1:
        return (coloured or possible)[0]
    found = _by_names(shape) or ("NCHW" if name in _NCHW_INPUTS else usual)
    if found is None:
        raise ModelLoadError(
            f"input {name!r} has the axes {list(shape)}, which leave open where the colours are: "
            "pass layout='NCHW' for (n, 3, height, width), as PyTorch's models have it, or "
            "layout='NHWC' for (n, height, width, 3), as TensorFlow's have it"
        )
    return found


def _by_names(shape: Sequence[int | str | None]) -> Layout | None:
    """Return the order that the names of the axes say; None if they say none, or both."""
    names = [_SHORT_NAMES.get(str(axis).lower(), str(axis).lower()) for axis in shape]

    def has(axis: int, parts: Sequence[str]) -> bool:
        return any(part in names[axis] for part in parts)

    if has(1, _CHANNELS) != has(3, _CHANNELS):
        return "NCHW" if has(1, _CHANNELS) else "NHWC"
    first = has(2, _HEIGHT) or has(3, _WIDTH)
    last = has(1, _HEIGHT) or has(2, _WIDTH)
    if first != last:
        return "NCHW" if first else "NHWC"
    return None
