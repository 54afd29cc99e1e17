"""Export Keras' VGG16 and ResNet50 to ONNX, with random weights, to build/models.

    python -m pip install . -r tools/requirements/keras.txt
    python tools/export_keras.py --verify

For benchmarks and for tests of parity with Keras, which need the real graphs but
not real weights. Photographs still get clearly different vectors. `--verify`
compares `OnnxEmbedder` with Keras on the photographs of examples/album, from the file
to the vector, for both of Keras' ways to ONNX.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras.applications import VGG16, ResNet50
from keras.applications.imagenet_utils import preprocess_input

from onnxsearch import OnnxEmbedder

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "build" / "models"
MODELS: dict[str, Callable[..., keras.Model]] = {"vgg16": VGG16, "resnet50": ResNet50}
LEAST_COSINE = 0.999999


def main() -> None:
    parser = argparse.ArgumentParser(description="Export Keras models with random weights.")
    parser.add_argument("--verify", action="store_true", help="compare ONNX Runtime with Keras")
    verify = parser.parse_args().verify
    OUTPUT.mkdir(parents=True, exist_ok=True)
    paths = sorted((ROOT / "examples/album").glob("*/*.jpg"))
    photos = np.stack([_photo(path) for path in paths])
    for name, build in MODELS.items():
        # The article's choice: no classifier, the maximum over each feature map.
        model = build(weights=None, include_top=False, input_shape=(224, 224, 3), pooling="max")
        randomise(model, photos[::3])
        target = OUTPUT / f"{name}-keras-random.onnx"
        convert(model, target)
        print(f"{target.relative_to(ROOT)}  {target.stat().st_size} bytes")
        if verify:
            compare(model, target, paths, photos)
            with tempfile.TemporaryDirectory() as folder:
                direct = Path(folder) / f"{name}-direct.onnx"
                model.export(direct, format="onnx", verbose=False)
                compare(model, direct, paths, photos)


def randomise(model: keras.Model, photos: np.ndarray) -> None:
    """Give every layer seeded random weights that keep photographs apart.

    Weights drawn without regard to the data make all images alike after a dozen
    layers. So each kernel is He's, and each normalisation is fitted to photographs;
    where there is none, the layer's own bias and kernel are (layer-sequential
    unit variance, Mishkin and Matas 2015, https://arxiv.org/abs/1511.06422).
    """
    random = np.random.default_rng(0)
    layers = list(model.layers)
    normalised = any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            kernel = random.normal(0, np.sqrt(2 / np.prod(kernel.shape[:3])), kernel.shape)
            layer.set_weights([kernel, bias])
        elif isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape
            layer.gamma.assign(random.uniform(0.5, 1.5, channels))
            layer.beta.assign(random.normal(0, 0.3, channels))
            layer.momentum = 0.0
    if normalised:
        model(photos, training=True)
        return
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D):
            before = keras.Model(model.input, layer.input)(photos)
            output = keras.ops.conv(before, layer.kernel, padding="same")
            mean, variance = keras.ops.moments(output, (0, 1, 2))
            scale = 1 / keras.ops.sqrt(variance)
            layer.kernel.assign(layer.kernel * scale)
            layer.bias.assign(-mean * scale)


def convert(model: keras.Model, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder]
        subprocess.run([*command, "--output", str(target)], check=True, capture_output=True)


def compare(model: keras.Model, exported: Path, paths: list[Path], photos: np.ndarray) -> None:
    embedder = OnnxEmbedder(exported, profile="keras-caffe")
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.npz"
        images = [str(path) for path in paths]
        vectors = model.predict(photos, verbose=0)
        np.savez(reference, images=images, tensors=photos, vectors=vectors)
        report = embedder.verify(reference, least_cosine=LEAST_COSINE)
    found = embedder.embed(paths)
    apart = (found @ found.T)[np.triu_indices(len(photos), 1)]
    print(f"{exported.name}: {report}")
    print(f"between photographs: {apart.min():.3f} to {apart.max():.3f}, mean {apart.mean():.3f}")
    if not report.ok or report.tensor_difference != 0:
        raise SystemExit(f"{exported.name}: expected the tensors of Keras, and its vectors")


def _photo(path: Path) -> np.ndarray:
    photo = keras.utils.load_img(path, target_size=(224, 224))
    return preprocess_input(keras.utils.img_to_array(photo), mode="caffe")


if __name__ == "__main__":
    main()
