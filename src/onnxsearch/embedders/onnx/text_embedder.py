"""The text model that belongs to an image model: from words to vectors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.validation import instance, integer, items
from onnxsearch.embedders.base import Tensor, unit_vectors
from onnxsearch.embedders.description import ModelSource, TextModelDescription
from onnxsearch.embedders.hub.resolution import text_model
from onnxsearch.embedders.onnx.fingerprint import file_digest, model_digest
from onnxsearch.embedders.onnx.model_files import described_file
from onnxsearch.embedders.onnx.pooling import Pooling, check_pooling, pool
from onnxsearch.embedders.onnx.provider_choice import start_sessions
from onnxsearch.embedders.onnx.providers import CPU, Provider, provider_name
from onnxsearch.embedders.onnx.session import RuntimeOptions
from onnxsearch.embedders.onnx.signature import (
    Node,
    OutputShape,
    choose_output,
    described,
    fixed_sizes,
    floating,
)
from onnxsearch.embedders.onnx.tokenization import TextEncoder, TextProfile, TokenIds
from onnxsearch.errors import EmbeddingError, ModelLoadError, ModelOutputError, ProfileError

if TYPE_CHECKING:
    from onnxsearch.types import Vectors

PREFERRED_OUTPUTS = ("text_embeds", "sentence_embedding", "pooler_output", "embedding", "output_0")
"""Outputs taken first where several could be the vector: the names that exporters of
Hugging Face and sentence-transformers models, our own models and tf2onnx use."""

_TOKEN_TYPES: dict[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ROLES = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class OnnxTextEmbedder:
    """An ONNX model that turns a text into a vector in the space of an image model.

    Give it to the image model, and texts find images. As with images, the file does not
    say how texts were prepared in training, so a profile has to be named. Texts are run
    one by one: with quantised models, a vector would otherwise depend on the texts
    beside it.

    Args:
        model: Path of an .onnx file that takes token ids, or its bytes.
        tokenizer: Path of the model's `tokenizer.json`; or of the `vocab.txt` of a
            BERT without capitals.
        profile: How texts are prepared: `clip`, `siglip`, `siglip2`, `jina-clip`,
            `minilm`, or a `TextProfile`.
        output: The output that holds the vector. By default the only one that can,
            or one with a usual name.
        pooling: How to make a vector of tokens: `mean` or `max` over the tokens without
            padding, or the first token, `cls`.
        providers: ONNX Runtime's execution providers, as of `OnnxEmbedder`.
        device_ids: The GPUs to use, as of `OnnxEmbedder`.
        threads: Cores for one run. By default all that this process may use.

    Raises:
        ModelLoadError: A file is missing or unreadable, or the model does not take text.
        ModelOutputError: Which output to take, or how to pool it, is unclear.
        ProfileError: There is no such profile, or it does not fit model or tokenizer.
        ProviderError: A provider is not available.
        MissingExtraError: The package tokenizers is not installed.
        InvalidArgumentError: An argument is of another type or range.

    Example:
        >>> from onnxsearch import OnnxEmbedder, OnnxTextEmbedder, SearchEngine
        >>> text = OnnxTextEmbedder("text_model.onnx", "tokenizer.json", profile="clip")
        >>> clip = OnnxEmbedder("vision_model.onnx", profile="open-clip", text=text)
        >>> SearchEngine.open("album", embedders=clip).search(text="a red apple")
    """

    source: ModelSource | None
    """Where the model comes from; None for a file of the user."""

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        tokenizer: str | os.PathLike[str],
        *,
        profile: str | TextProfile,
        output: str | None = None,
        pooling: Pooling | None = None,
        providers: str | Sequence[Provider] = (CPU,),
        device_ids: Sequence[int] | None = None,
        threads: int | None = None,
    ) -> None:
        self._threads = (
            available_cores() if threads is None else integer("threads", threads, least=1)
        )
        source = model if isinstance(model, bytes) else absolute_path(model, "model")
        self._tokenizer = absolute_path(tokenizer, "tokenizer")
        self.source = None
        named = TextProfile.named(profile) if isinstance(profile, str) else profile
        instance("profile", named, TextProfile, "a TextProfile, or the name of one")
        if output is not None:
            instance("output", output, str, "the name of an output")
        self._label = "text model" if isinstance(source, bytes) else os.path.basename(source)
        self._sessions = start_sessions(
            source, providers, RuntimeOptions(), self._threads, device_ids
        )
        self._pooling: Pooling | None = check_pooling(pooling)
        session = self._sessions.get(self._threads)
        self._inputs = read_inputs(session.get_inputs())
        self._profile = named.fitted(self._inputs.tokens)
        self._encoder = TextEncoder(self._tokenizer, self._profile)
        outputs = session.get_outputs()
        names = [node.name for node in floating(outputs)]
        tokens, mask = self._encoder.encode("a")
        try:
            values = self._run(names, tokens, mask) if names else []
        except EmbeddingError as error:
            raise ModelLoadError(f"a first run of the model on a text failed: {error}") from error
        shapes = {
            name: OutputShape(value.shape, per_image=value.shape[:1] == (1,))
            for name, value in zip(names, values, strict=True)
        }
        self._output = choose_output(outputs, shapes, output, pooling, PREFERRED_OUTPUTS)
        first = values[names.index(self._output)]
        self._dimension = int(self._pool(first, mask).shape[1])

    @classmethod
    def hub(
        cls,
        name: str,
        revision: str | None = None,
        file: str | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        profile: str | TextProfile | None = None,
        output: str | None = None,
        pooling: Pooling | None = None,
        providers: str | Sequence[Provider] = (CPU,),
        device_ids: Sequence[int] | None = None,
        threads: int | None = None,
    ) -> Self:
        """Return a text model that `onnxsearch models get` has downloaded.

        No connection is opened. `OnnxEmbedder.hub(name)` loads the text tower by itself;
        this is for text models of repositories that the catalogue does not hold.

        Args:
            name: See `OnnxEmbedder.hub`.
            revision: See `OnnxEmbedder.hub`.
            file: See `OnnxEmbedder.hub`.
            cache: See `OnnxEmbedder.hub`.
            profile: See `OnnxTextEmbedder`. By default what the catalogue says, or what the
                configuration files of CLIP and SigLIP models mean.
            output: See `OnnxTextEmbedder`.
            pooling: See `OnnxTextEmbedder`.
            providers: See `OnnxTextEmbedder`.
            device_ids: See `OnnxTextEmbedder`.
            threads: See `OnnxTextEmbedder`.

        Raises:
            ModelNotDownloadedError: It is not in the cache; the message holds the command.
            ModelChecksumError: A file does not have the locked bytes.
            ProfileError: Nothing says how texts are prepared.
            ModelError: The model cannot be used, as with `OnnxTextEmbedder`.
            MissingExtraError: The extra `text` is not installed.
            InvalidArgumentError: An argument is of another type or form, or the model has
                no text tower.

        Example:
            >>> OnnxTextEmbedder.hub("siglip2-base").embed("a red cup").shape
            (1, 768)
        """
        found = text_model(name, revision, file, cache)
        named = found.profile if profile is None else profile
        if named is None:
            raise ProfileError(
                f"nothing says how texts are prepared for {found.path!r}: expected profile=..., a "
                "TextProfile or the name of one"
            )
        embedder = cls(
            found.path,
            found.tokenizer,
            profile=named,
            output=output,
            pooling=pooling,
            providers=providers,
            device_ids=device_ids,
            threads=threads,
        )
        embedder.source, embedder._digest = found.source, found.digest
        return embedder

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of the execution providers in use, the preferred one first."""
        return tuple(map(provider_name, self._sessions.providers))

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._dimension

    @property
    def profile(self) -> TextProfile:
        """The `TextProfile` in use."""
        return self._profile

    @property
    def output(self) -> str:
        """Name of the model's output in use."""
        return self._output

    def embed(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in order.

        Args:
            texts: Texts, or a single text (which gives one row).

        Returns:
            Matrix (n, dimension) float32 of unit vectors.

        Raises:
            InvalidArgumentError: An element is not a text.
            EmbeddingError: The model failed, or gave NaN or zeros.
        """
        if isinstance(texts, str):
            texts = [texts]
        rows = [self._embed_one(text) for text in items("texts", texts, "a text, or several")]
        return np.concatenate(rows) if rows else np.empty((0, self.dimension), np.float32)

    def check_dimension(self, images: int, output: str, listed: str) -> None:
        """Check that the text model fits an image model.

        Args:
            images: Numbers in a vector of an image.
            output: The image model's output that such a vector comes from.
            listed: All outputs of the image model, for the message.

        Raises:
            ModelOutputError: The vectors have different dimensions.
        """
        if self.dimension != images:
            raise ModelOutputError(
                f"the text model gives {self.dimension} numbers, and output {output!r} of the "
                f"image model gives {images}: expected the same space. Choose output=...; the "
                f"image model's outputs: {listed}"
            )

    def describe(self) -> TextModelDescription:
        """Return what an index remembers of the text model; see `Embedder.describe`."""
        return TextModelDescription(
            file=described_file(self._sessions.model, self._digest, self.source),
            tokenizer=described_file(self._tokenizer, file_digest(self._tokenizer), self.source),
            settings={
                "profile": asdict(self._profile),
                "output": self._output,
                "pooling": self._pooling,
            },
            source=self.source,
        )

    def close(self) -> None:
        """Release the model's memory. The next use loads the model again."""
        self._sessions.close()

    @cached_property
    def _digest(self) -> bytes:
        return model_digest(self._sessions.model)

    def _embed_one(self, text: str) -> Vectors:
        tokens, mask = self._encoder.encode(text)
        (values,) = self._run([self._output], tokens, mask)
        return unit_vectors(self._pool(values, mask), self._label)

    def _run(self, outputs: Sequence[str], tokens: TokenIds, mask: TokenIds) -> list[Tensor]:
        rows = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
            "position_ids": np.arange(len(tokens)),
        }
        return self._sessions.run(self._threads, outputs, self._inputs.feeds(rows), self._label)

    def _pool(self, values: Tensor, mask: TokenIds) -> Tensor:
        if values.ndim == 3 and values.shape[1] != len(mask):
            raise ModelOutputError(
                f"output {self._output!r} has the shape {list(values.shape)} for a text of "
                f"{len(mask)} tokens: expected a row for each token"
            )
        attended = values[:, mask == 1] if values.ndim == 3 else values
        return pool(attended, self._pooling, "NCHW")

    def __repr__(self) -> str:
        return f"<OnnxTextEmbedder {self._label!r}, {self.dimension} dimensions>"


@dataclass(frozen=True, slots=True)
class TextInputs:
    """The inputs of a text model."""

    kinds: Mapping[str, type[np.integer]]
    """Number type of each input, by its role."""
    names: Mapping[str, str]
    """Its name in the graph, by its role."""
    tokens: int | None
    """Tokens in a text, where the graph fixes it."""

    def feeds(self, rows: Mapping[str, TokenIds]) -> dict[str, Tensor]:
        """Return the graph's inputs, by name, of a single text's `rows`."""
        return {
            self.names[role]: rows[role][np.newaxis].astype(kind)
            for role, kind in self.kinds.items()
        }


def read_inputs(inputs: Sequence[Node]) -> TextInputs:
    """Return how the model takes a text.

    Raises:
        ModelLoadError: The model does not take text, or takes other inputs as well.
    """
    names = {node.name: node.name for node in inputs}
    if len(inputs) == 1:  # whatever its name
        names = {"input_ids": inputs[0].name}
    listed = ", ".join(map(described, inputs))
    if "pixel_values" in names:
        raise ModelLoadError(
            f"the model takes text and images at once ({listed}): expected its text model "
            "alone. Hugging Face's ONNX repositories have it as text_model.onnx"
        )
    usable = all(node.type in _TOKEN_TYPES and len(node.shape) == 2 for node in inputs)
    if not usable or "input_ids" not in names or not names.keys() <= set(_ROLES):
        raise ModelLoadError(
            f"the model takes {listed}: expected 'input_ids' (n, tokens), int64 or int32, and "
            f"besides only {', '.join(_ROLES[1:])}"
        )
    nodes = {node.name: node for node in inputs}
    return TextInputs(
        kinds={role: _TOKEN_TYPES[nodes[name].type] for role, name in names.items()},
        names=names,
        tokens=fixed_sizes(nodes[names["input_ids"]].shape)[1],
    )
