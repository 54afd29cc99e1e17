"""The texts that stand for labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from onnxsearch._internal.validation import instance, items, text
from onnxsearch.classification.classifier import Floats
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.search.query import Query, query_of
from onnxsearch.search.similarity import directions

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder
    from onnxsearch.search.query_encoder import QueryEncoder

Words: TypeAlias = "Sequence[str] | Mapping[str, str | Sequence[str]]"
"""Labels in words; or by label one text, or several whose mean is taken, as they are."""

PROMPT = "a photo of a {}"
"""The text that CLIP's zero-shot evaluation begins with (Radford et al., "Learning Transferable
Visual Models From Natural Language Supervision", ICML 2021)."""

_MOST_TEXTS = 100_000
"""Texts, at most: each one is a run of the text model."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts that stand for each label."""

    texts: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, labels: Words, prompt: str) -> Prompts:
        """Return the prompts of labels.

        Raises:
            InvalidArgumentError: There are fewer than two labels, one is empty, twice there or
                not a string, or `prompt` does not hold {} once.
        """
        template = text("prompt", prompt, "a text with {} where the label goes")
        if template.count("{}") != 1:
            raise InvalidArgumentError(
                f"prompt {prompt!r:.80}: expected a text with {{}} once, where the label goes"
            )
        expected = "a list of words, such as ['cat', 'dog'], or a mapping from them to texts"
        names = list(labels) if isinstance(labels, Mapping) else items("labels", labels, expected)
        for name in names:
            if not instance("labels", name, str, expected).strip():
                raise InvalidArgumentError(
                    f"labels hold {name!r}, which has no word: expected {expected}"
                )
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise InvalidArgumentError(f"labels hold {name!r:.80} {count} times: expected it once")
        if len(names) < 2:
            raise InvalidArgumentError(f"labels {labels!r:.80}: expected at least two")
        if isinstance(labels, Mapping):
            found = {name: _texts(name, labels[name]) for name in names}
        else:
            found = {name: (template.replace("{}", name),) for name in names}
        if sum(map(len, found.values())) > _MOST_TEXTS:
            raise InvalidArgumentError(f"labels: expected at most {_MOST_TEXTS:,} texts")
        return cls(found)

    def directions(self, encoder: QueryEncoder, embedder: Embedder) -> Floats:
        """Return the direction of each label, (labels, dimension).

        Raises:
            InvalidArgumentError: The model embeds images only.
        """
        rows = []
        for texts in self.texts.values():
            query = query_of([Query.text(each) for each in texts])
            rows.append(encoder.vectors(query, [embedder])[embedder.name])
        return directions(embedder.metric, np.stack(rows))


def _texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else items(f"labels[{name!r}]", given, "texts")
    if not texts:
        raise InvalidArgumentError(f"labels[{name!r:.80}] has no text: expected at least one")
    return tuple(text(f"labels[{name!r:.80}]", each, "a text") for each in texts)
