"""The files of a model: what is read of them, and what else they can be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsearch import (
    InvalidArgumentError,
    ModelLoadError,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    TextProfile,
    annotate_model,
    inspect_model,
)
from onnxsearch.embedders.onnx import external_data as module
from onnxsearch.embedders.onnx.external_data import external_data, external_locations
from onnxsearch.embedders.onnx.header import read_header
from tests.embedders.models import colour_model, weights

SMALL = PreprocessingProfile("small", (6, 5))
GREY = np.full((9, 9, 3), 90, np.uint8)


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head += bytes([number & 127 | 128])
        number >>= 7
    return head + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def external(location: str, kind: int = TensorProto.EXTERNAL) -> onnx.TensorProto:
    """Make weights that are in a file."""
    tensor = onnx.TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3, 8])
    tensor.data_location = kind
    tensor.external_data.add(key="location", value=location)
    return tensor


def model_with(tensor: onnx.TensorProto, place: str = "initializer") -> onnx.ModelProto:
    """Make a model that has a tensor somewhere in its graph."""
    model = onnx.load_from_string(colour_model())
    if place == "initializer":
        del model.graph.initializer[:]
        model.graph.initializer.append(tensor)
    elif place == "constant":
        node = model.graph.node.add(op_type="Constant", output=["unused"])
        node.attribute.append(helper.make_attribute("value", tensor))
    elif place == "subgraph":
        inner = helper.make_graph([], "inner", [], [], [tensor])
        node = model.graph.node.add(op_type="If", input=["unused"], output=["unused2"])
        node.attribute.append(helper.make_attribute("then_branch", inner))
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "function":
        function = model.functions.add(name="f", domain="custom")
        node = function.node.add(op_type="Constant", output=["y"])
        node.attribute.append(helper.make_attribute("value", tensor))
    return model


@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph", "sparse", "function"])
def test_weights_in_files_are_found_wherever_they_are_in_the_graph(
    tmp_path: Path, place: str
) -> None:
    path = tmp_path / "model.onnx"
    content = model_with(external("w.bin"), place).SerializeToString()
    path.write_bytes(content)
    (tmp_path / "w.bin").write_bytes(b"1")
    assert external_data(str(path)) == {"w.bin": tmp_path / "w.bin"}
    assert external_locations(content) == ["w.bin"]


def test_text_that_looks_like_a_reference_is_ignored(tmp_path: Path) -> None:
    secret = tmp_path / "outside.txt"
    secret.write_text("one")
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "beside.txt").write_text("one")
    entries = [
        field(1, b"location") + field(2, name) for name in (b"beside.txt", b"../outside.txt")
    ]
    path = folder / "model.onnx"
    path.write_bytes(colour_model() + field(6, b"".join(entries)))  # the documentation
    before = OnnxEmbedder(path, profile=SMALL).fingerprint
    secret.write_text("two")
    (folder / "beside.txt").write_text("two")
    assert OnnxEmbedder(path, profile=SMALL).fingerprint == before
    assert external_data(str(path)) == {}
    assert inspect_model(path).bytes == path.stat().st_size
    assert OnnxEmbedder(path.read_bytes(), profile=SMALL).dimension == 8


@pytest.mark.parametrize(
    "name",
    [
        "../outside.bin",
        "/etc/passwd",
        "sub/../../outside.bin",
        "link.bin",
        "a\0b",
        "n" * 5000,
        "",
        ".",
    ],
)
def test_files_outside_the_models_folder_are_never_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.bin").write_bytes(b"secret")
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    path = folder / "model.onnx"
    path.write_bytes(model_with(external(name)).SerializeToString())
    assert external_data(str(path)) == {}
    with pytest.raises(ModelLoadError):
        OnnxEmbedder(path, profile=SMALL)
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    assert external_data(str(link)) == {}
    with pytest.raises(ModelLoadError):
        OnnxEmbedder(link, profile=SMALL)


def test_weights_in_the_model_itself_refer_to_no_file(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(weights(), "weights")
    tensor.external_data.add(key="location", value="w.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(tensor).SerializeToString())
    (tmp_path / "w.bin").write_bytes(b"1")
    assert external_data(str(path)) == {}


@pytest.mark.parametrize(
    "tail",
    [
        b"\xff" * 300_000 + b"\x01",
        varint(7 << 3 | 2) + b"\xff" * 9 + b"\x01",  # a graph of 2^63 bytes
        varint(7 << 3 | 2) + varint(1 << 40),
        varint(7 << 3 | 3),  # a group, which ONNX has none of
        varint(7 << 3 | 7),
        field(7, field(5, field(13, b"\x0a\x08location\x12"))),
        field(7, field(5, b"\xff" * 100_000)),
    ],
    ids=["varint", "negative", "length", "group", "type", "cut", "nested varint"],
)
def test_damaged_references_are_an_error_of_ours(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "model.onnx"
    content = colour_model() + field(6, b"location") + tail
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="not a valid ONNX"):
        external_data(str(path))
    with pytest.raises(ModelLoadError, match="not a valid ONNX"):
        external_locations(content)
    with pytest.raises(ModelLoadError):
        OnnxEmbedder(content, profile=SMALL)


def test_nesting_is_as_deep_as_a_file_likes() -> None:
    content = field(5, external("w.bin").SerializeToString())
    for _ in range(3 * sys.getrecursionlimit()):
        content = field(1, field(5, field(6, content)))  # a node's attribute is a graph
    assert external_locations(field(7, content)) == ["w.bin"]


def test_the_number_of_fields_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_FIELDS", 1000)
    nodes = field(7, field(6, b"location") + field(1, b"") * 999)
    with pytest.raises(ModelLoadError, match="more than 1000 fields"):
        external_locations(nodes)
    tensors = field(7, field(5, varint(1 << 3) + b"\x01") * 10 + field(6, b"location"))
    assert external_locations(tensors) == []
    with pytest.raises(ModelLoadError, match="more than 1000 fields"):
        external_locations(field(7, field(5, b"\x08\x01" * 2000) + field(6, b"location")))


def huggingface_cache(folder: Path) -> Path:
    """Write a model into a cache of links as huggingface_hub lays it out."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "1" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    onnx.save_model(
        onnx.load_from_string(colour_model()),
        blobs / "model.onnx",
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=0,
    )
    for name, blob in (("model.onnx", "5e1f"), ("model.onnx_data", "0dd5")):
        (blobs / name).rename(blobs / blob)
        (snapshot / name).symlink_to(Path("..", "..", "..", "blobs", blob))
    return snapshot / "model.onnx"


def test_a_cache_is_read_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = huggingface_cache(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded by writing")

    for name in ("link", "symlink", "mkdir", "rename", "replace"):
        monkeypatch.setattr(os, name, refuse)
    folders = [
        folder for folder in tmp_path.rglob("*") if folder.is_dir() and not folder.is_symlink()
    ]
    for folder in folders:
        folder.chmod(0o555)
    try:
        embedder = OnnxEmbedder(path, profile=SMALL)
        plain = OnnxEmbedder(colour_model(), profile=SMALL)
        assert np.array_equal(embedder.embed(GREY), plain.embed(GREY))
        assert inspect_model(path).bytes == sum(
            blob.stat().st_size for blob in (tmp_path / "blobs").iterdir()
        )
        assert embedder.fingerprint != plain.fingerprint
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(os.listdir(tmp_path / "blobs")) == ["0dd5", "5e1f"]


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 351468764\n"
)
OTHERS = [
    (POINTER, r"git-lfs pointer.*git lfs pull"),
    (b"<!DOCTYPE html>\n<html><head>", r"HTML page.*/resolve/"),
    (b"\xef\xbb\xbf\n <HTML lang=en>", r"HTML page"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", r"XML document"),
    (b"PK\x03\x04" + bytes(100), r"zip archive.*exporting\.md"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), r"HDF5.*exporting\.md"),
    (b"\x1c\0\0\0TFL3" + bytes(100), r"TensorFlow Lite"),
    (b"GGUF" + bytes(100), r"GGUF"),
]
TEXTS = [
    (b"Entry not found", r"a text that begins with 'Entry not found'.*download"),
    (b'{"error":"Invalid username or password."}', r"a text that begins with"),
    ("Zugriff verweigert für dich".encode(), r"a text that begins with"),
    (b"", r"empty.*download"),
]


@pytest.mark.parametrize(("content", "message"), OTHERS)
def test_files_of_other_formats_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"model\.onnx.* is an? {message}"):
        OnnxEmbedder(path, profile=SMALL)
    with pytest.raises(ModelLoadError, match=message):
        inspect_model(path)
    with pytest.raises(ModelLoadError, match=message):
        OnnxEmbedder(content, profile=SMALL)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(content)
    pytest.importorskip("tokenizers")
    from tests.embedders.text_models import text_model

    with pytest.raises(ModelLoadError, match=rf"tokenizer\.json.* is an? {message}"):
        OnnxTextEmbedder(text_model(), tokenizer, profile=TextProfile("plain", 8))


@pytest.mark.parametrize(("content", "message"), TEXTS)
def test_texts_of_servers_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=rf"model\.onnx' is {message}"):
        OnnxEmbedder(path, profile=SMALL)
    with pytest.raises(ModelLoadError, match=message):
        OnnxEmbedder(content, profile=SMALL)


def test_weights_that_are_a_pointer_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    tensor = external("w.bin")
    tensor.dims[:] = [3, 800]
    path.write_bytes(model_with(tensor).SerializeToString())
    (tmp_path / "w.bin").write_bytes(POINTER)
    with pytest.raises(ModelLoadError, match=r"w\.bin' are a git-lfs pointer"):
        OnnxEmbedder(path, profile=SMALL)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "clip-vit-b-32",
            r"'clip-vit-b-32' is a model's name.*efficientnet-lite2.*hub.*exporting\.md",
        ),
        ("openai/clip-vit-base-patch32", r"exporting\.md"),
        ("efficientnet-lite2", r"OnnxEmbedder\.bundled\('efficientnet-lite2'\)"),
        ("resnet50.onnx", r"resnet50\.onnx' does not exist: expected the path of an \.onnx file$"),
    ],
)
def test_a_name_is_not_a_model(model: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        OnnxEmbedder(model, profile=SMALL)


@pytest.mark.parametrize("call", [OnnxEmbedder, inspect_model, lambda m: annotate_model(m, SMALL)])
def test_other_types_than_paths_are_refused(call: Callable[[object], object]) -> None:
    for model in (7, None, bytearray(b"x"), ["a.onnx"]):
        with pytest.raises(InvalidArgumentError, match="expected a file's path"):
            call(model)


def test_tilde_is_expanded_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "model.onnx").write_bytes(colour_model())
    annotate_model("~/model.onnx", SMALL)
    assert inspect_model("~/model.onnx").call == 'OnnxEmbedder("~/model.onnx")'
    embedder = OnnxEmbedder("~/model.onnx")
    assert (embedder.name, embedder.profile) == ("model", SMALL)
    np.savez(tmp_path / "reference.npz", images=GREY[np.newaxis], vectors=embedder.embed(GREY))
    assert embedder.verify("~/reference.npz").ok
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        '{"image_processor_type": "ViTImageProcessor"}'
    )
    (tmp_path / "clip" / "model.onnx").write_bytes(colour_model())
    assert "preprocessor_config.json" in OnnxEmbedder("~/clip/model.onnx").profile.source
    profile = PreprocessingProfile.from_config("~/clip/preprocessor_config.json")
    assert profile.size == (224, 224)
    assert read_header(tmp_path / "model.onnx").ir_version == 8
    pytest.importorskip("tokenizers")
    from tests.embedders.text_models import text_model, tokenizer

    tokenizer(tmp_path)
    (tmp_path / "text.onnx").write_bytes(text_model())
    plain = TextProfile("plain", 8, pad_token="<pad>")
    assert OnnxTextEmbedder("~/text.onnx", "~/tokenizer.json", profile=plain).dimension == 8
