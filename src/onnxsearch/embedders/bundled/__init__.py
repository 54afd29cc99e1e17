"""The models that come with the package. Their licences and origins are beside them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from onnxsearch._internal.validation import text
from onnxsearch.errors import UnknownModelError

DEFAULT_MODEL = "efficientnet-lite2"
"""The better of the two: 1280 numbers, 5 MB."""

PROFILE_REVISION = "2"
"""Revision of the profile that prepares images for the bundled models, as an index remembers
it. 2: large JPEGs are decoded at a reduced size. 1, not remembered: all at full size."""

_FILES = {name: f"{name}.int8.onnx" for name in ("efficientnet-lite2", "efficientnet-lite0")}


def bundled_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return list(_FILES)


def bundled_model(name: str = DEFAULT_MODEL) -> Path:
    """Return the path of a model that comes with the package.

    Raises:
        UnknownModelError: No model has this name; the message lists all names.
    """
    if text("name", name, "the name of a bundled model") not in _FILES:
        raise UnknownModelError(
            f"no model named {name!r} comes with onnxsearch; it has {' and '.join(_FILES)}. "
            "`onnxsearch models list` shows those that can be downloaded"
        )
    return Path(str(files(__name__) / _FILES[name]))
