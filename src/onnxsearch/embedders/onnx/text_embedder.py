"""The text tower of a model for pictures and text: words in, vectors out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxsearch._internal.cpu import available_cores
from onnxsearch.embedders.base import Tensor, unit_vectors
from onnxsearch.embedders.onnx.pooling import Pooling, pool
from onnxsearch.embedders.onnx.session import (
    CPU,
    Provider,
    RuntimeOptions,
    Sessions,
    check_providers,
)
from onnxsearch.embedders.onnx.signature import Node, choose_output, floating
from onnxsearch.embedders.onnx.tokenization import TextEncoder, TextProfile, TokenIds
from onnxsearch.errors import (
    EmbeddingError,
    InvalidArgumentError,
    ModelLoadError,
    ModelOutputError,
)

if TYPE_CHECKING:
    from onnxsearch.types import Vectors

PREFERRED_OUTPUTS = ("text_embeds", "sentence_embedding", "pooler_output", "embedding", "output_0")
"""Outputs taken first where several could be the vector: the names that exporters of
Hugging Face and sentence-transformers models, our own models and tf2onnx give it."""

_TOKEN_TYPES: dict[str, type[np.integer]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ROLES = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class OnnxTextEmbedder:
    """An ONNX model that turns a text into a vector in the space of a picture model.

    Give it to the picture model, and pictures are found by words. As with pictures,
    the file does not say how texts were prepared in training, so a profile has to be
    named. Texts are run one by one: with quantised models, a vector would otherwise
    depend on the texts beside it.

    Args:
        model: Path of an .onnx file that takes token ids, or its bytes.
        tokenizer: Path of the model's `tokenizer.json`; or of the `vocab.txt` of a
            BERT without capitals.
        profile: How texts are prepared: `clip`, `siglip`, `siglip2`, `minilm`, or a
            `TextProfile`.
        output: The output that holds the vector. By default the only one that can,
            or one with a usual name.
        pooling: How to make a vector of tokens: `mean` or `max` over those that are
            no padding, or the first one, `cls`.
        providers: ONNX Runtime's execution providers, as of `OnnxEmbedder`.
        threads: Cores for one run. By default all that this process may use.

    Raises:
        ModelLoadError: A file is missing or unreadable, or the model takes no text.
        ModelOutputError: Which output to take, or how to pool it, is unclear.
        ProfileError: There is no such profile, or it does not fit model or tokenizer.
        ProviderError: A provider is not available.
        MissingExtraError: The package tokenizers is not installed.

    Example:
        >>> from onnxsearch import OnnxEmbedder, OnnxTextEmbedder, SearchEngine
        >>> text = OnnxTextEmbedder("text_model.onnx", "tokenizer.json", profile="clip")
        >>> clip = OnnxEmbedder("vision_model.onnx", profile="open-clip", text=text)
        >>> SearchEngine.open("album", embedders=clip).search(text="a red apple")
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        tokenizer: str | os.PathLike[str],
        *,
        profile: str | TextProfile,
        output: str | None = None,
        pooling: Pooling | None = None,
        providers: str | Sequence[Provider] = (CPU,),
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise InvalidArgumentError(f"threads={threads}: expected at least 1")
        source = model if isinstance(model, bytes) else os.path.abspath(model)
        self._label = "text model" if isinstance(source, bytes) else os.path.basename(source)
        self._sessions = Sessions(source, check_providers(providers), RuntimeOptions())
        self._threads = threads or available_cores()
        self._pooling: Pooling | None = pooling
        session = self._sessions.get(self._threads)
        self._inputs = _read_inputs(session.get_inputs())
        self.profile: TextProfile = (
            profile if isinstance(profile, TextProfile) else TextProfile.named(profile)
        ).fitted(self._inputs.tokens)
        self._encoder = TextEncoder(tokenizer, self.profile)
        names = [node.name for node in floating(session.get_outputs())]
        tokens, mask = self._encoder.encode("a")
        try:
            values = self._run(names, tokens, mask)
        except EmbeddingError as error:
            raise ModelLoadError(f"a first run of the model on a text failed: {error}") from error
        shapes = {name: value.shape for name, value in zip(names, values, strict=True)}
        self.output: str = choose_output(shapes, output, pooling, PREFERRED_OUTPUTS)
        first = values[names.index(self.output)]
        self._dimension = int(self._pool(first, mask).shape[1])

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        return self._dimension

    def embed(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in order.

        Args:
            texts: Texts, or a single one (which gives one row).

        Returns:
            Matrix (n, dimension) float32 of unit vectors.

        Raises:
            InvalidArgumentError: Something is no text.
            EmbeddingError: The model failed, or gave NaN or zeros.
        """
        rows = [self._embed_one(text) for text in ([texts] if isinstance(texts, str) else texts)]
        return np.concatenate(rows) if rows else np.empty((0, self.dimension), np.float32)

    def check_dimension(
        self, pictures: int, output: str, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """See that the tower fits a picture model, of whose output vectors are made.

        Args:
            pictures: Numbers in a vector of a picture.
            output: The output that these are made of.
            shapes: Shapes of all of its outputs.

        Raises:
            ModelOutputError: The vectors are of another dimension.
        """
        if self.dimension != pictures:
            listed = ", ".join(f"{name!r} {list(shape)}" for name, shape in shapes.items())
            raise ModelOutputError(
                f"the text tower gives {self.dimension} numbers, and output {output!r} of the "
                f"picture model gives {pictures}: expected the same space. Say output=...; the "
                f"picture model's outputs: {listed}"
            )

    def close(self) -> None:
        """Release the model's memory. Using it again loads the model anew."""
        self._sessions.close()

    def _embed_one(self, text: str) -> Vectors:
        tokens, mask = self._encoder.encode(text)
        (values,) = self._run([self.output], tokens, mask)
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
        attended = values[:, mask == 1] if values.ndim == 3 else values
        return pool(attended, self._pooling, "NCHW")

    def __repr__(self) -> str:
        return f"<OnnxTextEmbedder {self._label!r}, {self.dimension} dimensions>"


@dataclass(frozen=True, slots=True)
class _TextInputs:
    """What a text tower is fed."""

    kinds: Mapping[str, type[np.integer]]
    """Number type of each input, by what it means."""
    names: Mapping[str, str]
    """Its name in the graph, by what it means."""
    tokens: int | None
    """Tokens in a text, where the graph fixes it."""

    def feeds(self, rows: Mapping[str, TokenIds]) -> dict[str, Tensor]:
        """Return the graph's inputs, by name, of one text's `rows`."""
        return {
            self.names[role]: rows[role][np.newaxis].astype(kind)
            for role, kind in self.kinds.items()
        }


def _read_inputs(inputs: Sequence[Node]) -> _TextInputs:
    """Find out how the model takes a text.

    Raises:
        ModelLoadError: It does not take one, or not only one.
    """
    names = {node.name: node.name for node in inputs}
    if len(inputs) == 1:  # whatever it is called
        names = {"input_ids": inputs[0].name}
    listed = ", ".join(f"{node.name!r} {node.type} {list(node.shape)}" for node in inputs)
    if "pixel_values" in names:
        raise ModelLoadError(
            f"the model takes text and pictures at once ({listed}): expected its text tower "
            "alone. Hugging Face's ONNX repositories have it as text_model.onnx"
        )
    usable = all(node.type in _TOKEN_TYPES and len(node.shape) == 2 for node in inputs)
    if not usable or "input_ids" not in names or not names.keys() <= set(_ROLES):
        raise ModelLoadError(
            f"the model takes {listed}: expected 'input_ids' (n, tokens), int64 or int32, and "
            f"besides only {', '.join(_ROLES[1:])}"
        )
    nodes = {node.name: node for node in inputs}
    length = nodes[names["input_ids"]].shape[1]
    return _TextInputs(
        kinds={role: _TOKEN_TYPES[nodes[name].type] for role, name in names.items()},
        names=names,
        tokens=length if isinstance(length, int) and length > 0 else None,
    )
