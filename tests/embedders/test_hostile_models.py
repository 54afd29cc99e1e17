"""Damaged and hostile models: each is refused, with the reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxsearch.embedders.onnx.embedder import OnnxEmbedder
from onnxsearch.embedders.onnx.inspection import inspect_model
from onnxsearch.errors import ModelLoadError, OnnxSearchError
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from tests.embedders.exports import EXPORTS
from tests.embedders.models import colour_model

SMALL = PreprocessingProfile("small", (6, 5))
EIGHT = PreprocessingProfile("eight", (8, 8))
SECRET = np.arange(24, dtype=np.float32).tobytes()


def edited(edit: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_from_string(colour_model())
    edit(model)
    return bytes(model.SerializeToString())


def weights_in(location: str, length: int = len(SECRET)) -> bytes:
    def edit(model: onnx.ModelProto) -> None:
        (tensor,) = model.graph.initializer
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)

    return edited(edit)


def with_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.example"
    model.graph.node[1].op_type = "RunProgram"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def with_two_gigabytes(model: onnx.ModelProto) -> None:
    (tensor,) = model.graph.initializer
    tensor.dims[:] = [3, 1 << 28]
    del model.graph.output[0].type.tensor_type.shape.dim[:]


def set_version(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def cut_an_edge(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (edited(with_operator), r"com\.example:RunProgram.* is not a registered function"),
        (edited(with_two_gigabytes), "declares a size of 3221225472 bytes which exceeds"),
        (edited(set_version), "Unsupported model IR version: 99"),
        (edited(set_opset), "Opset 999"),
        (edited(cut_an_edge), "'nowhere'"),
        (weights_in("/etc/hostname"), "Absolute path not allowed"),
        (weights_in("missing.bin"), "does not exist"),
        (weights_in("short.bin"), "out of bounds"),
        (weights_in("short.bin", 3 << 30), "size mismatch"),
        (b"\x08\x08" + bytes(range(1, 256)), ""),
        (b"\x80" * 100_000, ""),
    ],
    ids=[
        "operator",
        "declared",
        "version",
        "opset",
        "edge",
        "absolute",
        "missing",
        "short",
        "declared beside",
        "noise",
        "varint",
    ],
)
def test_refused_with_the_reason(tmp_path: Path, model: bytes, reason: str) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(4))
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    with pytest.raises(
        ModelLoadError, match=rf"cannot load model .*model\.onnx.*{reason}"
    ) as caught:
        OnnxEmbedder(path, profile=SMALL)
    assert caught.value.__cause__ is not None
    assert "onnxruntime_src" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "damaged"),
    [(b"height", b"h\xffight"), (b"vector", b"v\xc3ctor"), (b"licence", b"lic\x80nce")],
    ids=["axis", "output", "metadata"],
)
def test_names_that_are_not_unicode(text: bytes, damaged: bytes) -> None:
    model = colour_model(metadata={"licence": "MIT"})
    assert text in model
    with pytest.raises(ModelLoadError, match=r"cannot load model .*utf-8"):
        OnnxEmbedder(model.replace(text, damaged), profile=SMALL)


@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "link.bin"])
def test_weights_outside_of_the_models_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(SECRET)
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "model.onnx"
    path.write_bytes(weights_in(location))
    with pytest.raises(ModelLoadError, match="escapes model directory"):
        OnnxEmbedder(path, profile=SMALL)
    link = tmp_path / "elsewhere" / "linked.onnx"
    link.parent.mkdir()
    link.symlink_to(path)
    with pytest.raises(ModelLoadError, match="escapes model directory"):
        OnnxEmbedder(link, profile=SMALL)


@pytest.mark.parametrize("batch", [1 << 24, 1 << 40])
def test_an_enormous_fixed_batch_is_not_filled(batch: int) -> None:
    with pytest.raises(ModelLoadError, match=r"batch of .* images.*open batch"):
        OnnxEmbedder(colour_model(batch=batch), profile=SMALL)


@pytest.mark.parametrize("size", [(1 << 33, 6), (6, 9000)])
def test_an_enormous_image_is_not_made(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(colour_model(size=size))
    with pytest.raises(ModelLoadError, match="expected at most 8192 pixels"):
        OnnxEmbedder(path, profile=SMALL)
    assert "8192" in inspect_model(path).missing[0].reason


def test_a_model_in_memory_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.bin").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelLoadError, match=r"weights in another file, 'secret\.bin'"):
        OnnxEmbedder(weights_in("secret.bin"), profile=SMALL)
    with pytest.raises(ModelLoadError):
        OnnxEmbedder(weights_in("missing.bin"), profile=SMALL)


def test_declared_sizes_are_not_allocated(tmp_path: Path) -> None:
    # Not ru_maxrss, which a child process takes over from its parent.
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not report the largest amount of memory used")
    path = tmp_path / "model.onnx"
    path.write_bytes(edited(with_two_gigabytes))
    program = f"""
from pathlib import Path
from onnxsearch import ModelLoadError, OnnxEmbedder
try:
    OnnxEmbedder({str(path)!r}, profile="keras-raw")
except ModelLoadError:
    print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 2**20  # kilobytes


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_raise_errors_of_ours_only(tmp_path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    path = tmp_path / "model.onnx"
    exports = [export.make() for export in EXPORTS.values()]
    for number in range(150):
        content = bytearray(exports[number % len(exports)])
        for place in generator.integers(0, len(content), 2):
            content[place] = generator.integers(0, 256)
        path.write_bytes(content)
        for load in (inspect_model, lambda model: OnnxEmbedder(model, profile=EIGHT, threads=1)):
            try:
                load(path)
            except OnnxSearchError:
                continue
