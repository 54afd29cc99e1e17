"""Embedders made again from what an index remembers of them.

An index may come from anywhere, and with it all that it says. No class is imported because
an index names it, and no file is opened as a model before its hash is the one that the index
says; see `onnxsearch.embedders.onnx.model_files`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsearch.embedders.description import (
    REGIONS,
    ModelDescription,
    TextModelDescription,
    class_path,
)
from onnxsearch.embedders.onnx.embedder import CLASS_NAME, OnnxEmbedder
from onnxsearch.embedders.onnx.feature_mapped import check_regions
from onnxsearch.embedders.onnx.model_files import MODEL_ENDINGS, TOKENIZER_ENDINGS, ModelFinder
from onnxsearch.embedders.onnx.text_embedder import OnnxTextEmbedder
from onnxsearch.embedders.onnx.tokenization import TextProfile
from onnxsearch.errors import ModelNotFoundError, OnnxSearchError, StoreCorruptError
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import READ_STRICTLY


@dataclass(frozen=True, slots=True)
class _Located:
    """A model whose files and class are found."""

    description: ModelDescription
    cls: type[OnnxEmbedder]
    model: str
    text: tuple[str, str] | None
    """Paths of the text model and its tokenizer."""


def restore(descriptions: Sequence[ModelDescription], places: Sequence[Path]) -> list[OnnxEmbedder]:
    """Return the embedders that these descriptions are of, in their order.

    Args:
        descriptions: What an index remembers.
        places: Folders and files where models are looked for that are not where they were.

    Raises:
        ModelNotFoundError: A file or a class is not found, or the model gives other vectors.
        StoreCorruptError: A description cannot be read.
        ModelError: A model cannot be loaded.
    """
    finder = ModelFinder(places)
    # All are found before the first is loaded, which takes a while.
    found = [_find(description, finder) for description in descriptions]
    made: list[OnnxEmbedder] = []
    try:
        for each in found:
            made.append(_make(each))
    except BaseException:
        for embedder in made:
            embedder.close()
        raise
    return made


def _find(description: ModelDescription, finder: ModelFinder) -> _Located:
    cls = _class_of(description)
    what, file, text = f"model {description.name!r}", description.file, description.text
    if file is None:
        raise _unreadable(description, "it has no file")
    model = finder.find(what, file, description.source, MODEL_ENDINGS)
    return _Located(
        description, cls, model, None if text is None else _find_text(text, what, finder)
    )


def _find_text(text: TextModelDescription, what: str, finder: ModelFinder) -> tuple[str, str]:
    return (
        finder.find(f"the text model of {what}", text.file, text.source, MODEL_ENDINGS),
        finder.find(f"the tokenizer of {what}", text.tokenizer, text.source, TOKENIZER_ENDINGS),
    )


def _class_of(description: ModelDescription) -> type[OnnxEmbedder]:
    """Return the class of a description, out of those that the program has defined."""
    if description.class_name == CLASS_NAME:
        return OnnxEmbedder
    # The last one, should a notebook have defined it several times.
    for cls in reversed(list(_subclasses(OnnxEmbedder))):
        if class_path(cls) == description.class_name:
            return cls
    raise ModelNotFoundError(
        f"model {description.name!r} is of the class {description.class_name!r:.200}, and no "
        "subclass of OnnxEmbedder has this name in this program: no class is imported because "
        "an index names it. Import it before you open the index, or give the model as "
        "embedders=..."
    )


def _subclasses(cls: type[OnnxEmbedder]) -> Iterator[type[OnnxEmbedder]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _make(found: _Located) -> OnnxEmbedder:
    description, cls = found.description, found.cls
    arguments = _arguments(description, cls)
    if found.text is not None and description.text is not None:
        arguments["text"] = _make_text(description.text, *found.text)
    embedder = _called(cls, description, found.model, **arguments)
    embedder.source = description.source
    if embedder.fingerprint != description.fingerprint:
        embedder.close()
        raise ModelNotFoundError(
            f"model {description.name!r} was made again from {found.model!r}, and gives other "
            "vectors than the stored ones: its class or the parameters of its class have "
            "changed. Give the model as embedders=..., as it was made when the index was filled"
        )
    return embedder


def _arguments(description: ModelDescription, cls: type[OnnxEmbedder]) -> dict[str, Any]:
    """Return what the class is called with, apart from the file and the text model."""
    settings: Mapping[str, Any] = description.settings
    try:
        profile = PreprocessingProfile.from_json(json.dumps(settings["profile"]))
        arguments: dict[str, Any] = {
            "name": description.name,
            "profile": replace(profile, source="the index"),
            "output": settings["output"],
            "pooling": settings["pooling"],
            "layout": settings["layout"],
        }
        if description.metric is not cls.metric:
            arguments["metric"] = description.metric
        if (regions := settings.get(REGIONS)) is not None:
            arguments["regions"] = check_regions(regions)
        if (draft := settings.get("draft")) is not None:
            arguments["reading"] = replace(READ_STRICTLY, draft=draft)
    except (KeyError, TypeError, ValueError, OnnxSearchError) as error:
        raise _unreadable(description, str(error)) from error
    return arguments


def _make_text(text: TextModelDescription, model: str, tokenizer: str) -> OnnxTextEmbedder:
    settings: Mapping[str, Any] = text.settings
    try:
        profile = TextProfile(**settings["profile"])
        output, pooling = settings["output"], settings["pooling"]
    except (KeyError, TypeError, ValueError, OnnxSearchError) as error:
        raise StoreCorruptError(f"the index describes no text model: {error!r:.200}") from error
    made = OnnxTextEmbedder(model, tokenizer, profile=profile, output=output, pooling=pooling)
    made.source = text.source
    return made


def _called(
    cls: Callable[..., OnnxEmbedder], description: ModelDescription, *args: Any, **named: Any
) -> OnnxEmbedder:
    """Call a class, which may be one of the user with a signature of its own."""
    try:
        inspect.signature(cls).bind(*args, **named)
    except TypeError as error:
        raise ModelNotFoundError(
            f"model {description.name!r} is of the class {description.class_name!r:.200}, which "
            f"does not take the arguments of OnnxEmbedder ({error}): give the model as "
            "embedders=..."
        ) from error
    return cls(*args, **named)


def _unreadable(description: ModelDescription, why: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"what the index says of model {description.name!r} cannot be read ({why:.200}): give "
        "the model as embedders=..., and the index remembers it anew"
    )
