"""The options that name models, and the embedders that they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypedDict, TypeVar, cast, get_args

import typer

from onnxsearch import Embedder, InvalidArgumentError, OnnxEmbedder, OnnxTextEmbedder, Pooling
from onnxsearch._internal.plugins import EMBEDDERS, has_plugin, made_by_plugin
from onnxsearch._internal.validation import choice
from onnxsearch.embedders.bundled import bundled_models
from onnxsearch.embedders.hub.catalogue import catalogue
from onnxsearch.images.preprocessing.profile import Layout
from onnxsearch.locations import named_embedder

_Value = TypeVar("_Value")


def known_models(incomplete: str) -> list[str]:
    """Return the models whose names begin so, for a shell that completes them."""
    return sorted(n for n in {*bundled_models(), *catalogue()} if n.startswith(incomplete))


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A model's name, an .onnx file, or the name of an installed package's embedder, with "
        "what it takes after a colon; repeatable. Default: the models of the index.",
        autocompletion=known_models,
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        help="How to preprocess images for a model from a file: keras-caffe, ... Like the other "
        "options of models, once for all of them or once for each.",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="The name of a model from a file. Default: the file's name."),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option("--output", help="The output that holds the vector, where several could."),
]
Poolings = Annotated[
    list[str] | None,
    typer.Option(
        "--pooling",
        help="How to make one vector of tokens (cls, mean, max) or of a feature map (avg, max).",
    ),
]
Layouts = Annotated[
    list[str] | None,
    typer.Option(
        "--layout", help="NCHW or NHWC: the order of the input's axes, where the file is silent."
    ),
]
Regions = Annotated[
    bool,
    typer.Option(
        "--regions",
        help="Also store vectors of the parts of each image, so that a search finds images in "
        "which the query is a part. The index remembers it.",
    ),
]
TextModels = Annotated[
    list[str] | None,
    typer.Option(
        "--text-model",
        metavar="FILE",
        help="The text model that belongs to a model from a file, for --text. The index "
        "remembers it.",
    ),
]
Tokenizers = Annotated[
    list[str] | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="Its tokenizer. Default: tokenizer.json beside it.",
    ),
]
TextProfiles = Annotated[
    list[str] | None,
    typer.Option("--text-profile", help="How it takes text: clip, siglip, siglip2, ..."),
]

_POOLINGS: Sequence[Pooling] = get_args(Pooling)
_LAYOUTS: Sequence[Layout] = get_args(Layout)


class _Loading(TypedDict):
    """Arguments of `OnnxEmbedder`."""

    profile: str | None
    name: str | None
    output: str | None
    pooling: Pooling | None
    layout: Layout | None


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The models of one command, and how to load those that come from files."""

    models: Sequence[str] | None = None
    profiles: Sequence[str] | None = None
    names: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    poolings: Sequence[str] | None = None
    layouts: Sequence[str] | None = None
    text_models: Sequence[str] | None = None
    tokenizers: Sequence[str] | None = None
    text_profiles: Sequence[str] | None = None
    regions: bool = False
    """Whether each of the models also gives vectors of regions."""

    def embedders(self) -> list[Embedder] | None:
        """Return the models that the options name; None stands for those of the index.

        Raises:
            InvalidArgumentError: An option does not fit the models.
            ModelError: A model cannot be used.
        """
        models = self.models or []
        files = [model for model in models if is_file(model)]
        loaded = iter(zip(self._loadings(files), self._texts(files), strict=True))
        embedders: list[Embedder] = []
        for model in models:
            if not is_file(model):
                embedders.append(_named(model, regions=self.regions))
                continue
            arguments, text = next(loaded)
            made = text() if text else None
            embedders.append(OnnxEmbedder(model, **arguments, text=made, regions=self.regions))
        return embedders or None

    @property
    def load_files(self) -> bool:
        """Whether an option says how models from files are loaded."""
        given = (self.profiles, self.names, self.outputs, self.poolings, self.layouts)
        return any((*given, self.text_models, self.tokenizers, self.text_profiles))

    def check_files(self, files: Sequence[str]) -> None:
        """Raise unless the options fit these models from files.

        Raises:
            InvalidArgumentError: They do not.
        """
        self._loadings(files)
        self._texts(files)

    def _texts(self, files: Sequence[str]) -> list[Callable[[], OnnxTextEmbedder] | None]:
        """Return for each model from a file what loads its text model."""
        models = _for_each("--text-model", self.text_models, files)
        tokenizers = _for_each("--tokenizer", self.tokenizers, files)
        profiles = _for_each("--text-profile", self.text_profiles, files)
        loads: list[Callable[[], OnnxTextEmbedder] | None] = []
        for model, tokenizer, profile in zip(models, tokenizers, profiles, strict=True):
            if (model is None) != (profile is None) or (tokenizer and model is None):
                raise InvalidArgumentError(
                    "a text model is given with --text-model FILE and --text-profile NAME, and its "
                    "tokenizer with --tokenizer FILE if it is not tokenizer.json beside it"
                )
            if model is None or profile is None:
                loads.append(None)
                continue
            beside = os.path.join(os.path.dirname(model), "tokenizer.json")
            loads.append(partial(OnnxTextEmbedder, model, tokenizer or beside, profile=profile))
        return loads

    def _loadings(self, files: Sequence[str]) -> list[_Loading]:
        """Return for each model from a file what else `OnnxEmbedder` is called with."""
        profiles = _for_each("--profile", self.profiles, files)
        names = _for_each("--name", self.names, files)
        outputs = _for_each("--output", self.outputs, files)
        poolings = _chosen("--pooling", self.poolings, files, _POOLINGS)
        layouts = _chosen("--layout", self.layouts, files, _LAYOUTS)
        if self.names and len(set(names)) < len(names):
            raise InvalidArgumentError("--name: expected a name of its own for each model")
        return [
            {
                "profile": profile,
                "name": name,
                "output": output,
                "pooling": pooling,
                "layout": layout,
            }
            for profile, name, output, pooling, layout in zip(
                profiles, names, outputs, poolings, layouts, strict=True
            )
        ]


def _named(model: str, *, regions: bool) -> Embedder:
    """Return a model by name: a bundled or a downloaded one, or one of another package.

    Raises:
        InvalidArgumentError: No model has the name, or its package gives no vectors of regions.
        ModelError: The model cannot be used.
    """
    if is_of_plugin(model):
        if regions:
            raise InvalidArgumentError(
                f"--regions: model {model!r} is of an installed package, which says itself what it "
                "gives. Name models from files, or by a name of `onnxsearch models list`"
            )
        name, _, argument = model.partition(":")
        given = (argument,) if argument else ()
        return made_by_plugin(EMBEDDERS, name, Embedder, *given)  # type: ignore[type-abstract]
    return named_embedder(model, regions=regions)


def comes_by_name(model: str) -> bool:
    """Return whether a model comes with the package, or is in the catalogue."""
    return model in bundled_models() or model in catalogue()


def is_of_plugin(model: str) -> bool:
    """Return whether a model comes from another package: `name`, or `name:argument`."""
    return not comes_by_name(model) and has_plugin(EMBEDDERS, model.partition(":")[0])


def is_file(model: str) -> bool:
    """Return whether an option names a file rather than a model's name."""
    return model.endswith(".onnx") or os.path.exists(os.path.expanduser(model))


def _chosen(
    option: str,
    values: Sequence[str] | None,
    files: Sequence[str],
    options: Sequence[_Value],
) -> list[_Value | None]:
    """Return the option's value for each model from a file, out of a few that there are."""
    return [
        None if value is None else choice(option, cast("_Value", value), options)
        for value in _for_each(option, values, files)
    ]


def _for_each(
    option: str, values: Sequence[_Value] | None, files: Sequence[str]
) -> Sequence[_Value | None]:
    """Return the option's value for each model from a file."""
    if not values:
        return [None] * len(files)
    if not files:
        raise InvalidArgumentError(
            f"{option} is for models from files: name the file with --model, or leave it out"
        )
    if len(values) == 1:
        return list(values) * len(files)
    if len(values) != len(files):
        raise InvalidArgumentError(
            f"{option} is given {len(values)} times, for {len(files)} models from files: expected "
            "it once, or once for each"
        )
    return values
