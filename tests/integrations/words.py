"""An embedder of words and pictures: the word "cat" has the vector of the picture of that name."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsearch import Vectors
from onnxsearch.testing import FakeEmbedder, picture

PETS = ("cat", "dog", "fox", "owl")


class WordEmbedder(FakeEmbedder):
    """A fake that embeds text too, and finds the cat, then the dog for the word "pet"."""

    def __init__(self) -> None:
        super().__init__("words", rankings={"pet": ["cat", "dog"]})

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        words = [texts] if isinstance(texts, str) else texts
        return self.embed([picture(word) for word in words])
