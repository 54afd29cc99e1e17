"""Text models: images found by words."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    MissingExtraError,
    ModelLoadError,
    ModelOutputError,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    ProfileError,
    SearchEngine,
    TextProfile,
    TextQueries,
)
from onnxsearch.embedders.onnx.tokenization import TextEncoder
from tests.embedders.models import FEATURES, colour_model
from tests.embedders.text_models import WORDS, table, text_model, tokenizer

pytest.importorskip("tokenizers", reason="the extra [text] is not installed")

IMAGES = PreprocessingProfile("small", (6, 5))
CLIP = replace(TextProfile.named("clip"), pad_token="<pad>")
SIGLIP = replace(TextProfile.named("siglip"), pad_token="</s>")
PLAIN = TextProfile("plain", 8, pad_token="<pad>")
EIGHT = replace(PLAIN, pad=True)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return tokenizer(tmp_path)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def rows_of(*tokens: str) -> NDArray[np.float32]:
    return table()[[WORDS.index(token) for token in tokens]]


@pytest.mark.parametrize("tokens", [77, "tokens"])
@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("integers", ["int32", "int64"])
def test_a_clip_shaped_text_model(
    words: Path, tokens: int | str, batch: int | str, integers: str
) -> None:
    model = text_model("clip", tokens=tokens, batch=batch, integers=integers)
    embedder = OnnxTextEmbedder(model, words, profile=CLIP)
    assert (embedder.output, embedder.dimension) == ("text_embeds", FEATURES)
    vectors = embedder.embed(["Red  photo", "a &amp;amp; b"])
    assert (vectors.shape, vectors.dtype) == ((2, FEATURES), np.float32)
    first = rows_of("<s>", "red", "photo", "</s>").mean(0)
    second = rows_of("<s>", "a", "<unk>", "<unk>", "</s>").mean(0)  # an ampersand, b
    assert np.allclose(vectors, unit(np.stack([first, second])), atol=1e-6)


def test_a_siglip_shaped_text_model_sees_the_padding(words: Path) -> None:
    model = text_model("siglip", inputs=("input_ids",))
    embedder = OnnxTextEmbedder(model, words, profile=SIGLIP)
    assert embedder.output == "pooler_output"
    tokens = rows_of("<s>", "a", "red", "photo", *["</s>"] * 60)
    assert np.allclose(embedder.embed("A  RED_photo!!"), unit(tokens.mean(0)), atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "pool"), [("mean", np.mean), ("max", np.max), ("cls", lambda rows, axis: rows[0])]
)
@pytest.mark.parametrize("tokens", [8, "tokens"])
def test_pooling_leaves_the_padding_out(
    words: Path, pooling: str, pool: Callable[..., NDArray[np.float32]], tokens: int | str
) -> None:
    model = text_model("bert", tokens=tokens, inputs=("input_ids", "token_type_ids"))
    embedder = OnnxTextEmbedder(
        model,
        words,
        profile=PLAIN,
        pooling=pooling,  # type: ignore[arg-type]
    )
    expected = pool(rows_of("<s>", "red", "</s>"), axis=0)
    assert np.allclose(embedder.embed("red"), unit(expected), atol=1e-6)


def test_texts_of_all_lengths(words: Path) -> None:
    embedder = OnnxTextEmbedder(text_model(), words, profile=PLAIN)
    assert embedder.embed([]).shape == (0, FEATURES)
    assert np.allclose(embedder.embed(""), unit(rows_of("<s>", "</s>").mean(0)), atol=1e-6)
    cut = rows_of("<s>", *["red"] * 6, "</s>").mean(0)
    assert np.allclose(embedder.embed("red " * 100_000), unit(cut), atol=1e-6)


def test_a_vector_does_not_depend_on_its_neighbours(words: Path) -> None:
    embedder = OnnxTextEmbedder(text_model(), words, profile=CLIP)
    texts = ["red", "a photo of a green photo", "", "blue"]
    together = embedder.embed(texts)
    assert all(np.array_equal(together[[n]], embedder.embed(t)) for n, t in enumerate(texts))


@pytest.mark.parametrize("text", [b"red", 7, None, "\ud800"])
def test_other_types_than_texts_are_refused(words: Path, text: object) -> None:
    embedder = OnnxTextEmbedder(text_model(), words, profile=CLIP)
    with pytest.raises(InvalidArgumentError, match=r"expected a text|not valid Unicode"):
        embedder.embed([text])  # type: ignore[list-item]


def test_models_that_are_not_text_models(words: Path) -> None:
    with pytest.raises(ModelLoadError, match="'x' tensor"):
        OnnxTextEmbedder(colour_model(), words, profile=CLIP)
    model = text_model("siglip", inputs=("input_ids", "ears"))
    with pytest.raises(ModelLoadError, match="'ears'"):
        OnnxTextEmbedder(model, words, profile=CLIP)
    with pytest.raises(ModelLoadError, match="a first run of the model on a text failed"):
        OnnxTextEmbedder(text_model(batch=2), words, profile=CLIP)
    with pytest.raises(ModelLoadError, match="does not exist"):
        OnnxTextEmbedder("missing.onnx", words, profile=CLIP)


def test_a_single_input_may_have_any_name(words: Path) -> None:
    model = text_model("siglip", inputs=("tokens",))
    assert OnnxTextEmbedder(model, words, profile=SIGLIP).embed("red").shape == (1, FEATURES)


def test_a_model_for_text_and_images_in_one_graph_is_refused(words: Path) -> None:
    import onnx

    both = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "both (float[n, 3, 8, 8] pixel_values, int64[n, t] input_ids)"
        " => (float[n, 3] image_embeds, float[n, t] text_embeds) {"
        "   image_embeds = ReduceMean<axes=[2, 3], keepdims=0>(pixel_values)"
        "   text_embeds = Cast<to=1>(input_ids) }"
    ).SerializeToString()
    with pytest.raises(ModelLoadError, match=r"text_model\.onnx"):
        OnnxTextEmbedder(both, words, profile=CLIP)
    with pytest.raises(ModelLoadError, match=r"vision_model\.onnx"):
        OnnxEmbedder(both, profile="open-clip")


def test_one_of_two_outputs_has_to_be_chosen(words: Path) -> None:
    model = text_model("two", inputs=("input_ids",))
    with pytest.raises(ModelOutputError, match=r"'a' .*, 'b'"):
        OnnxTextEmbedder(model, words, profile=SIGLIP)
    assert OnnxTextEmbedder(model, words, profile=SIGLIP, output="b").output == "b"
    with pytest.raises(ModelOutputError, match="pooling"):
        OnnxTextEmbedder(text_model("bert"), words, profile=CLIP)


def test_an_output_without_a_row_for_each_token_is_refused(words: Path) -> None:
    import onnx

    model = onnx.load_from_string(text_model("bert", inputs=("input_ids",)))
    (gather,) = model.graph.node
    gather.output[0] = "rows"
    mean = onnx.helper.make_node("ReduceMean", ["rows"], ["last_hidden_state"], axes=[1])
    model.graph.node.append(mean)
    with pytest.raises(ModelOutputError, match=r"\[1, 1, 8\] for a text of 8 tokens"):
        OnnxTextEmbedder(model.SerializeToString(), words, profile=EIGHT, pooling="mean")


def test_profiles_have_to_fit(words: Path) -> None:
    with pytest.raises(ProfileError, match="Did you mean 'siglip'"):
        TextProfile.named("sigslip")
    with pytest.raises(ProfileError, match="makes 77 tokens, and the model takes 64"):
        OnnxTextEmbedder(text_model(tokens=64), words, profile=CLIP)
    with pytest.raises(ProfileError, match=r"no token '<\|endoftext\|>'"):
        OnnxTextEmbedder(text_model(), words, profile="clip")
    with pytest.raises(ProfileError, match="max_tokens 0"):
        replace(CLIP, max_tokens=0)
    with pytest.raises(ProfileError, match="clean: 'upper'"):
        replace(CLIP, clean="upper")  # type: ignore[arg-type]


def test_tokenizers_that_cannot_be_read(tmp_path: Path) -> None:
    for content in ("", "{}", "garbage"):
        path = tmp_path / "bad.json"
        path.write_text(content)
        with pytest.raises(ModelLoadError, match=r"bad\.json.* cannot be read"):
            OnnxTextEmbedder(text_model(), path, profile=CLIP)
    (tmp_path / "vocab.txt").write_text("no\nspecial\ntokens\n")
    with pytest.raises(ModelLoadError, match=r"vocab\.txt"):
        OnnxTextEmbedder(text_model(), tmp_path / "vocab.txt", profile=CLIP)
    with pytest.raises(ModelLoadError, match="there is no tokenizer"):
        OnnxTextEmbedder(text_model(), tmp_path, profile=CLIP)


def test_word_pieces_of_a_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nban\n##ana\na\n", encoding="utf-8")
    tokens, mask = TextEncoder(path, TextProfile("bert", 5, pad=True)).encode("a Banana")
    assert tokens.tolist() == [2, 6, 4, 5, 3]
    assert mask.tolist() == [1] * 5
    tokens, mask = TextEncoder(path, TextProfile("bert", 5, pad=True)).encode("à")
    assert (tokens.tolist(), mask.tolist()) == ([2, 6, 3, 0, 0], [1, 1, 1, 0, 0])


def test_a_missing_package_names_its_extra() -> None:
    program = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from onnxsearch.embedders.onnx.tokenization import TextEncoder, TextProfile\n"
        "TextEncoder('tokenizer.json', TextProfile.named('clip'))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert b'pip install "onnxsearch[text]"' in result.stderr
    assert MissingExtraError.__name__.encode() in result.stderr


# --- beside the image model


def clip(words: Path) -> OnnxEmbedder:
    text = OnnxTextEmbedder(
        text_model("bert"), words, profile=PLAIN, pooling="max", output="last_hidden_state"
    )
    return OnnxEmbedder(colour_model(), profile=IMAGES, name="colours", text=text)


def test_an_embedder_with_a_text_model(words: Path) -> None:
    text = OnnxTextEmbedder(text_model(), words, profile=PLAIN)
    plain = OnnxEmbedder(colour_model(), profile=IMAGES)
    embedder = OnnxEmbedder(colour_model(), profile=IMAGES, text=text)
    assert isinstance(embedder, TextQueries)
    assert embedder.fingerprint == plain.fingerprint
    colours = np.zeros((3, 4, 4, 3), np.uint8)
    colours[[0, 1, 2], :, :, [0, 1, 2]] = 255
    likeness = embedder.embed_text(["red", "green", "blue"]) @ embedder.embed(list(colours)).T
    assert likeness.argmax(1).tolist() == [0, 1, 2]
    assert np.array_equal(embedder.parallel(2).embed_text("red"), embedder.embed_text("red"))
    embedder.close()
    assert np.array_equal(embedder.embed_text("red"), text.embed("red"))


def test_an_embedder_without_a_text_model() -> None:
    embedder = OnnxEmbedder(colour_model(), profile=IMAGES, name="colours")
    with pytest.raises(InvalidArgumentError, match=r"'colours' takes no text.*text="):
        embedder.embed_text("red")


def test_both_models_have_to_have_one_dimension(words: Path) -> None:
    text = OnnxTextEmbedder(text_model(), words, profile=PLAIN)
    with pytest.raises(ModelOutputError, match=r"gives 8 numbers.*gives 512.*'embedding_max'"):
        OnnxEmbedder(wide_model(), profile=IMAGES, output="embedding", text=text)


def wide_model() -> bytes:
    import onnx

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]>'
        "wide (float[n, 3, h, w] x) => (float[n, 512] embedding, float[n, 8] embedding_max)"
        "<int64[2] shape = {1, 512}, int64[2] narrow = {1, 8}> {"
        "   mean = ReduceMean<axes=[1, 2, 3], keepdims=0>(x)"
        "   column = Flatten<axis=1>(mean)"
        "   embedding = Expand(column, shape)"
        "   embedding_max = Expand(column, narrow) }"
    )
    return bytes(model.SerializeToString())


def test_an_engine_finds_images_by_words(words: Path) -> None:
    text = OnnxTextEmbedder(text_model(), words, profile=PLAIN)
    colours = OnnxEmbedder(colour_model(), profile=IMAGES, name="colours", text=text)
    plain = OnnxEmbedder(colour_model(), profile=IMAGES, name="plain")
    with InMemoryVectorStore() as vectors, InMemoryMetadataStore() as metadata:
        engine = SearchEngine([colours, plain], vectors, metadata)
        for number, name in enumerate(("red", "green", "blue")):
            image = np.zeros((4, 4, 3), np.uint8)
            image[..., number] = 255
            engine.add(image, id=name)
        for name in ("red", "green", "blue"):
            assert engine.search(text=name, limit=1)[0].id == name
        with pytest.raises(InvalidArgumentError, match="'plain' takes no text"):
            engine.search(text="red", model="plain")


def test_many_threads_and_other_processes(words: Path) -> None:
    embedder = clip(words)
    vector = embedder.embed_text("a red photo")
    with ThreadPoolExecutor(8) as pool:
        for other in pool.map(embedder.embed_text, ["a red photo"] * 50):
            assert np.array_equal(other, vector)
    again = pickle.loads(pickle.dumps(embedder))
    assert np.array_equal(again.embed_text("a red photo"), vector)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        other = processes.submit(embedder.embed_text, "a red photo").result()
    assert np.array_equal(other, vector)


# --- real models

NAMES = {
    "banana": "Banana",
    "orange": "Orange",
    "pineapple": "Pineapple",
    "Granny Smith": "Granny-Smith",
    "zucchini": "Zucchini",
    "bell pepper": "Bell-Pepper",
    "head cabbage": "Cabbage",
}


def real(shared: Callable[[str], Path]) -> OnnxEmbedder:
    text = OnnxTextEmbedder(
        shared("models/minilm-l6-v2-int8-text.onnx"),
        shared("models/minilm-vocab.txt"),
        profile="minilm",
        pooling="mean",
    )
    return OnnxEmbedder(
        shared("models/efficientnet-lite0.int8.conse384.onnx"),
        profile="efficientnet-lite",
        output="text_aligned",
        text=text,
    )


def test_a_banana_is_found_by_its_name(shared: Callable[[str], Path]) -> None:
    embedder = real(shared)
    classes = sorted(shared("data/grocery").iterdir())[:9]
    photos = [photo for folder in classes for photo in sorted(folder.glob("*.jpg"))[:2]]
    best = embedder.embed(photos) @ embedder.embed_text("a photo of a banana")[0]
    assert {photos[n].parent.name for n in np.argsort(-best)[:2]} == {"06_Banana"}


@pytest.mark.slow
def test_groceries_are_found_by_their_names(shared: Callable[[str], Path]) -> None:
    embedder = real(shared)
    photos = sorted(shared("data/grocery").glob("*/*.jpg"))
    vectors = embedder.embed(photos)
    precision = []
    for name, label in NAMES.items():
        likeness = vectors @ embedder.embed_text(f"a photo of a {name}")[0]
        found = [photos[n].parent.name for n in np.argsort(-likeness)[:5]]
        precision.append(np.mean([label in folder for folder in found]))
    assert np.mean(precision) >= 0.9, precision
