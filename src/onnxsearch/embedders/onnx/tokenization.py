"""From words to the token ids of a text model: cleaning, splitting, padding."""

from __future__ import annotations

import html
import os
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.open_files import open_to_read
from onnxsearch._internal.paths import target_path
from onnxsearch._internal.validation import boolean, integer, text
from onnxsearch.embedders.onnx.header import other_format_of
from onnxsearch.errors import InvalidArgumentError, MissingExtraError, ModelLoadError, ProfileError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TokenIds: TypeAlias = "NDArray[np.int64]"
"""The ids of a text's tokens: a row (tokens,) int64."""

Cleaning: TypeAlias = Literal["none", "lower", "clip", "canonical"]


@dataclass(frozen=True, slots=True)
class TextProfile:
    """How a text is prepared for a model, apart from its tokenizer.

    Example:
        >>> TextProfile.named("siglip").max_tokens
        64
    """

    name: str = field(compare=False)
    """For messages. The fields below say what the profile does."""
    max_tokens: int
    """Longer texts are cut to this number of tokens, special tokens included."""
    pad: bool = False
    """Whether shorter texts are padded to `max_tokens`, as in the model's training."""
    pad_token: str = "[PAD]"
    """The token to pad with."""
    mask_padding: bool = True
    """Whether padding is hidden from the model, where the model takes a mask."""
    clean: Cleaning = "none"
    """The cleaning before the tokenizer: `none`; `lower` case; `clip`: HTML entities
    replaced, white space joined; `canonical`: like `clip`, in lower case and without
    punctuation."""

    def __post_init__(self) -> None:
        text("name", self.name)
        text("pad_token", self.pad_token)
        boolean("pad", self.pad)
        boolean("mask_padding", self.mask_padding)
        if integer("max_tokens", self.max_tokens, least=0) < 1:
            raise ProfileError(f"max_tokens {self.max_tokens}: expected at least 1")
        if self.clean not in list(_CLEANERS):
            raise ProfileError(f"clean: {self.clean!r}, expected one of {', '.join(_CLEANERS)}")

    @classmethod
    def named(cls, name: str) -> TextProfile:
        """Return the profile named `name`.

        Args:
            name: `clip` (OpenAI's and OpenCLIP's), `siglip`, `siglip2`, `jina-clip`, or
                `minilm` (all-MiniLM and other BERTs that sentence-transformers trained).

        Raises:
            ProfileError: No profile has this name; the message lists them.
        """
        text("name", name, "the name of a text profile")
        if name not in _BY_NAME:
            close = get_close_matches(name, _BY_NAME, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ProfileError(
                f"no text profile is named {name!r}.{hint} Known: {', '.join(_BY_NAME)}"
            )
        return _BY_NAME[name]

    def fitted(self, tokens: int | None) -> TextProfile:
        """Return the profile for a model that takes exactly `tokens` tokens, or any if None.

        Raises:
            ProfileError: The profile pads to another number.
        """
        if tokens is None:
            return self
        if self.pad and self.max_tokens != tokens:
            raise ProfileError(
                f"text profile {self.name!r} makes {self.max_tokens} tokens, and the model takes "
                f"{tokens}: use dataclasses.replace(profile, max_tokens={tokens})"
            )
        return replace(self, max_tokens=tokens, pad=True)


def _clip(text: str) -> str:
    return " ".join(html.unescape(html.unescape(text)).split())


def _canonical(text: str) -> str:
    spaced = _clip(text).replace("_", " ").lower()
    return " ".join(spaced.translate(str.maketrans("", "", string.punctuation)).split())


_CLEANERS: dict[Cleaning, Callable[[str], str]] = {
    "none": str,
    "lower": str.lower,
    "clip": _clip,
    "canonical": _canonical,
}

# Sources: openai/CLIP simple_tokenizer.py (`basic_clean`, without ftfy) and clip.py
# (`tokenize`); open_clip tokenizer.py (`canonicalize_text`); transformers' SigLIP and
# SigLIP2 processors, which always pad to 64 and pass no mask; the configuration of
# sentence-transformers/all-MiniLM-L6-v2; jina-clip-implementation modeling_clip.py
# (`encode_text`). Of those that fit a model, the first is suggested.
_ALL = [
    TextProfile("clip", 77, pad=True, pad_token="<|endoftext|>", clean="clip"),
    TextProfile("siglip", 64, pad=True, pad_token="</s>", mask_padding=False, clean="canonical"),
    TextProfile("siglip2", 64, pad=True, pad_token="<pad>", mask_padding=False, clean="lower"),
    TextProfile("minilm", 256),
    TextProfile("jina-clip", 512),
]
_BY_NAME = {profile.name: profile for profile in _ALL}


def text_profiles() -> Sequence[TextProfile]:
    """Return the profiles that `TextProfile.named` knows."""
    return _ALL


class TextEncoder:
    """A tokenizer that follows the rules of a profile.

    Args:
        path: A `tokenizer.json`, or the `vocab.txt` of a BERT.
        profile: The rules.

    Raises:
        MissingExtraError: The package tokenizers is not installed.
        ModelLoadError: There is no such file, or it holds no tokenizer.
        ProfileError: The tokenizer lacks the token to pad with.
        InvalidArgumentError: `path` is not a path.
    """

    def __init__(self, path: str | os.PathLike[str], profile: TextProfile) -> None:
        self.profile = profile
        self._tokenizer = _read(target_path(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(profile.max_tokens)
        pad = self._tokenizer.token_to_id(profile.pad_token)
        if pad is None:
            raise ProfileError(
                f"the tokenizer {os.fspath(path)!r} has no token {profile.pad_token!r} to pad "
                f"with, which profile {profile.name!r} demands: use dataclasses.replace(profile, "
                "pad_token=...)"
            )
        self._pad = pad

    def encode(self, text: str) -> tuple[TokenIds, TokenIds]:
        """Return the tokens of `text`, and a mask: 1 for tokens to attend to, else 0.

        Raises:
            InvalidArgumentError: `text` is not a text, or not valid Unicode.
        """
        if not isinstance(text, str):
            raise InvalidArgumentError(f"{type(text).__name__}: expected a text, a str")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"text {text!r} is not valid Unicode") from error
        tokens = self._tokenizer.encode(_CLEANERS[self.profile.clean](text)).ids
        missing = self.profile.max_tokens - len(tokens) if self.profile.pad else 0
        hidden = 0 if self.profile.mask_padding else 1
        return (
            np.array(tokens + [self._pad] * missing, np.int64),
            np.array([1] * len(tokens) + [hidden] * missing, np.int64),
        )


def _read(path: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_package("tokenizers", extra="text") from error
    if not path.is_file():
        raise ModelLoadError(
            f"there is no tokenizer {str(path)!r}: expected a tokenizer.json or a vocab.txt"
        )
    if format_ := other_format_of(path):
        raise ModelLoadError(f"tokenizer {str(path)!r} is {format_}")
    try:
        with open_to_read(path) as file:
            text = file.read().decode()
        return _word_pieces(text) if path.suffix == ".txt" else Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises bare Exceptions
        raise ModelLoadError(f"tokenizer {str(path)!r} cannot be read: {error}") from error


def _word_pieces(vocabulary: str) -> Tokenizer:
    """Return the tokenizer of a BERT without capitals, made of its word pieces, one a line."""
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    lines = vocabulary.removesuffix("\n").split("\n")
    pieces = {piece: number for number, piece in enumerate(lines)}
    return Tokenizer.from_str(BertWordPieceTokenizer(pieces).to_str())
