"""The catalogue: models that are known by a name of their own, read from `catalogue.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from onnxsearch.embedders.onnx.pooling import Pooling
from onnxsearch.errors import UnknownModelError

OPEN_LICENCES = frozenset(
    {
        "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0",
        "isc", "mit", "unlicense", "zlib",
    }
)  # fmt: skip
"""Licences that allow every use, in lower case. All others have to be accepted."""

_Table: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class TextTower:
    """The text model of a catalogued model."""

    model: str
    """Its file in the repository."""
    tokenizer: str
    """The tokenizer's file."""
    profile: str
    """Name of its `TextProfile`."""


@dataclass(frozen=True, slots=True)
class CataloguedModel:
    """A model of the catalogue. The head of `catalogue.toml` describes the fields."""

    name: str
    repository: str
    licence: str
    licence_from: str
    image: str
    revision: str | None = None
    pooling: Pooling | None = None
    timm: Mapping[str, object] | None = None
    text: TextTower | None = None
    note: str = ""

    def files(self, *, text: bool) -> list[str]:
        """Return the files without which it cannot be used, with or without its text tower."""
        tower = [self.text.model, self.text.tokenizer] if text and self.text else []
        return [self.image, *tower]


@cache
def catalogue() -> Mapping[str, CataloguedModel]:
    """Return all models of the catalogue, by name."""
    content = (files("onnxsearch.embedders") / "catalogue.toml").read_text("utf-8")
    return {name: _model(name, values) for name, values in tomllib.loads(content).items()}


def catalogued(name: str) -> CataloguedModel:
    """Return the model of the catalogue named `name`.

    Raises:
        UnknownModelError: There is none; the message lists all names.
    """
    models = catalogue()
    if name not in models:
        close = get_close_matches(name, models, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownModelError(
            f"the catalogue has no model {name!r:.200}.{hint} It has {', '.join(models)}. Any "
            "other model on the hub is named by owner/repository, with a revision and a file"
        )
    return models[name]


def _model(name: str, values: _Table) -> CataloguedModel:
    tower = values.get("text")
    return CataloguedModel(
        **{**values, "name": name, "text": None if tower is None else TextTower(**tower)}
    )
