"""Export Keras' VGG16 and ResNet50 to ONNX, with random weights, to build/models.

    python -m pip install -r tools/requirements/keras.txt
    python tools/export_keras.py --verify

For benchmarks and for tests of parity with Keras, which need the real graphs but
not real weights. Photographs still get clearly different vectors. `--verify`
compares ONNX Runtime with Keras on the photographs of examples/album.
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
import onnxruntime as ort
from keras.applications import VGG16, ResNet50
from keras.applications.imagenet_utils import preprocess_input

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "build" / "models"
MODELS: dict[str, Callable[..., keras.Model]] = {"vgg16": VGG16, "resnet50": ResNet50}
LEAST_COSINE = 0.999999


def main() -> None:
    parser = argparse.ArgumentParser(description="Export Keras models with random weights.")
    parser.add_argument("--verify", action="store_true", help="compare ONNX Runtime with Keras")
    verify = parser.parse_args().verify
    OUTPUT.mkdir(parents=True, exist_ok=True)
    photos = np.stack([_photo(path) for path in sorted((ROOT / "examples/album").glob("*/*.jpg"))])
    for name, build in MODELS.items():
        # The article's choice: no classifier, the maximum over each feature map.
        model = build(weights=None, include_top=False, input_shape=(224, 224, 3), pooling="max")
        randomise(model, photos[::3])
        target = OUTPUT / f"{name}-keras-random.onnx"
        convert(model, target)
        print(f"{target.relative_to(ROOT)}  {target.stat().st_size} bytes")
        if verify:
            compare(model, target, photos)


def randomise(model: keras.Model, photos: np.ndarray) -> None:
    """Give every layer seeded random weights that keep photographs apart.

    Weights drawn without regard to the data make all pictures alike after a dozen
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


def compare(model: keras.Model, path: Path, photos: np.ndarray) -> None:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = _unit(model.predict(photos, verbose=0))
    (output,) = session.run(None, {session.get_inputs()[0].name: photos})
    found = _unit(output)
    least = float((expected * found).sum(axis=1).min())
    likeness = found @ found.T
    apart = likeness[np.triu_indices(len(photos), 1)]
    print(
        f"  {len(photos)} photographs: cosine with Keras at least {least:.9f}, largest "
        f"difference {np.abs(expected - found).max():.1e}; between photographs "
        f"{apart.min():.3f} to {apart.max():.3f}, mean {apart.mean():.3f}"
    )
    if not least >= LEAST_COSINE:
        raise SystemExit(f"{path.name}: expected a cosine of at least {LEAST_COSINE}")


def _photo(path: Path) -> np.ndarray:
    photo = keras.utils.load_img(path, target_size=(224, 224))
    return preprocess_input(keras.utils.img_to_array(photo), mode="caffe")


def _unit(vectors: np.ndarray) -> np.ndarray:
    exact = vectors.astype(np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
