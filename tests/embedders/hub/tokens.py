"""Small tokenizers of the three kinds that models of the catalogue have, as `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Sequence

WORDS = ("red", "green", "blue", "white", "photo")
"""Each of them is one token."""


def _merges(words: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Return the merges by which each of the words, in letters, becomes one token."""
    merges: list[tuple[str, str]] = []
    for word in words:
        parts = list(word)
        for pair in merges:  # earlier merges come first
            parts = _merged(parts, pair)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = _merged(parts, merges[-1])
    return merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def clip_tokenizer() -> str:
    """Return a byte-level BPE with an end-of-word mark, as CLIP's `tokenizer.json` has it."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{each}</w>" for each in letters)]
    merges = _merges([[*word[:-1], f"{word[-1]}</w>"] for word in WORDS])
    vocabulary += ["".join(pair) for pair in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    words = {word: number for number, word in enumerate(vocabulary)}
    made = Tokenizer(
        models.BPE(words, merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", words["<|endoftext|>"]),
        ("<|startoftext|>", words["<|startoftext|>"]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    made.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return str(made.to_str())


def gemma_tokenizer() -> str:
    """Return a BPE with SentencePiece's mark for blanks, as Gemma's `tokenizer.json` has it."""
    from tokenizers import Tokenizer, models, normalizers, processors

    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    starts = ("", "▁")
    merges = _merges([[*start, *word] for word in WORDS for start in starts])
    vocabulary += ["".join(pair) for pair in merges]
    words = {word: number for number, word in enumerate(dict.fromkeys(vocabulary))}
    made = Tokenizer(
        models.BPE(words, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", words["<eos>"])]
    )
    made.add_special_tokens(special)
    return str(made.to_str())


def bert_tokenizer() -> str:
    """Return word pieces in lower case, as BERT's `tokenizer.json` has them."""
    from tokenizers import BertWordPieceTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters] + [*WORDS]
    words = {word: number for number, word in enumerate(vocabulary)}
    return str(BertWordPieceTokenizer(words).to_str())
