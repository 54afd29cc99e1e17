"""From words to the numbers of a text model: cleaning, splitting, padding."""

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

from onnxsearch.errors import InvalidArgumentError, MissingExtraError, ModelLoadError, ProfileError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TokenIds: TypeAlias = "NDArray[np.int64]"
"""A row of numbers, one for each token."""

Cleaning: TypeAlias = Literal["none", "lower", "clip", "canonical"]


@dataclass(frozen=True, slots=True)
class TextProfile:
    """What happens to a text on its way into a model, apart from its tokenizer.

    Example:
        >>> TextProfile.named("siglip").max_tokens
        64
    """

    name: str = field(compare=False)
    """For messages; says nothing about what the profile does."""
    max_tokens: int
    """Longer texts are cut to this number of tokens, the special ones among them."""
    pad: bool = False
    """Fill shorter texts up to `max_tokens`, as the model saw them in training."""
    pad_token: str = "[PAD]"
    """The token to fill up with."""
    mask_padding: bool = True
    """Hide the padding from the model, where it takes a mask."""
    clean: Cleaning = "none"
    """What is done before the tokenizer: nothing; `lower` case; `clip`: HTML entities
    replaced, white space joined; `canonical`: that, lower case and no punctuation."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ProfileError(f"max_tokens {self.max_tokens}: expected at least 1")
        if self.clean not in _CLEANERS:
            raise ProfileError(f"clean: {self.clean!r}, expected one of {', '.join(_CLEANERS)}")

    @classmethod
    def named(cls, name: str) -> TextProfile:
        """Return the profile that is known as `name`.

        Args:
            name: `clip` (OpenAI's and OpenCLIP's), `siglip`, `siglip2`, or `minilm`
                (all-MiniLM and other BERTs that sentence-transformers trained).

        Raises:
            ProfileError: No profile has this name; the message lists them.
        """
        if name not in _BY_NAME:
            close = get_close_matches(name, _BY_NAME, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ProfileError(
                f"no text profile is named {name!r}.{hint} Known: {', '.join(_BY_NAME)}"
            )
        return _BY_NAME[name]

    def fitted(self, tokens: int | None) -> TextProfile:
        """Return the profile for a model that takes exactly `tokens` tokens, if not None.

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
# sentence-transformers/all-MiniLM-L6-v2.
_ALL = [
    TextProfile("clip", 77, pad=True, pad_token="<|endoftext|>", clean="clip"),
    TextProfile("siglip", 64, pad=True, pad_token="</s>", mask_padding=False, clean="canonical"),
    TextProfile("siglip2", 64, pad=True, pad_token="<pad>", mask_padding=False, clean="lower"),
    TextProfile("minilm", 256),
]
_BY_NAME = {profile.name: profile for profile in _ALL}


def text_profiles() -> Sequence[TextProfile]:
    """Return the profiles that `TextProfile.named` knows."""
    return _ALL


class TextEncoder:
    """A tokenizer under the rules of a profile.

    Args:
        path: A `tokenizer.json`, or the `vocab.txt` of a BERT.
        profile: The rules.

    Raises:
        MissingExtraError: The package tokenizers is not installed.
        ModelLoadError: There is no such file, or it holds no tokenizer.
        ProfileError: The tokenizer lacks the token to pad with.
    """

    def __init__(self, path: str | os.PathLike[str], profile: TextProfile) -> None:
        self.profile = profile
        self._tokenizer = _read(Path(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(profile.max_tokens)
        pad = self._tokenizer.token_to_id(profile.pad_token)
        if pad is None:
            raise ProfileError(
                f"the tokenizer {os.fspath(path)!r} has no token {profile.pad_token!r} to pad "
                f"with, as profile {profile.name!r} has it: say pad_token=... of a TextProfile"
            )
        self._pad = pad

    def encode(self, text: str) -> tuple[TokenIds, TokenIds]:
        """Return the tokens of `text`, and a mask: 1 for tokens to attend to, else 0.

        Raises:
            InvalidArgumentError: `text` is no text, or no Unicode.
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
    try:
        text = path.read_text(encoding="utf-8")
        return _word_pieces(text) if path.suffix == ".txt" else Tokenizer.from_str(text)
    except Exception as error:  # what tokenizers raises has no type of its own
        raise ModelLoadError(f"tokenizer {str(path)!r} cannot be read: {error}") from error


def _word_pieces(vocabulary: str) -> Tokenizer:
    """Return the tokenizer of a BERT without capitals, for its word pieces, one a line."""
    from tokenizers import BertWordPieceTokenizer, Tokenizer

    lines = vocabulary.removesuffix("\n").split("\n")
    pieces = {piece: number for number, piece in enumerate(lines)}
    return Tokenizer.from_str(BertWordPieceTokenizer(pieces).to_str())
