"""Token ids of transformers' tokenizers for the models of the catalogue that take text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import transformers

from onnxsearch.embedders.onnx.tokenization import TextEncoder, TextProfile
from tests.embedders.hub.tokens import bert_tokenizer, clip_tokenizer, gemma_tokenizer

# Without entities of HTML, which the profile `clip` replaces as OpenCLIP does, and
# transformers' tokenizer does not.
TEXTS = (
    "", " ", "red", "a photo of a red cup", "RED Photo", "  red \n green\tblue ", "it's 42 euro!",
    "na\u00efve nai\u0308ve", "\u7ea2\u8272\u7684\u676f\u5b50", "\U0001f408 red",
    "red-green_blue, (white).", "photo " * 200, "redgreen", "\u0130stanbul \u00df", "...",
)  # fmt: skip


def token_results() -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each text profile, and the texts whose token ids differ."""
    for name, cls, content, options in (
        ("clip", transformers.CLIPTokenizer, clip_tokenizer(), {"padding": "max_length"}),
        ("siglip2", transformers.Siglip2Tokenizer, gemma_tokenizer(), {"padding": "max_length"}),
        ("jina-clip", transformers.BertTokenizer, bert_tokenizer(), {}),
    ):
        profile = TextProfile.named(name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tokenizer.json")
            path.write_text(content, encoding="utf-8")
            config = {"tokenizer_class": cls.__name__, "padding_side": "right"}
            Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
            theirs = cls.from_pretrained(folder)
            ours = TextEncoder(path, profile)
        yield (
            name,
            [
                text
                for text in TEXTS
                if theirs(text, truncation=True, max_length=profile.max_tokens, **options)[
                    "input_ids"
                ]
                != ours.encode(text)[0].tolist()
            ],
        )
