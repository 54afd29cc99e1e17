"""References of Keras: `load_img`, `img_to_array` and `preprocess_input`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import keras
import numpy as np
from PIL import Image

from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from tools.golden.compare import Case, Tensor

_MODULES = {
    "keras-caffe": ("resnet50", 224),
    "keras-tf": ("mobilenet_v2", 224),
    "keras-torch": ("densenet", 224),
    "keras-raw": ("efficientnet", 224),
}
_OTHERS = {
    "vgg16": ("keras-caffe", 224),
    "vgg19": ("keras-caffe", 224),
    "mobilenet": ("keras-tf", 224),
    "inception_v3": ("keras-tf", 299),
    "xception": ("keras-tf", 299),
    "resnet_v2": ("keras-tf", 224),
    "nasnet": ("keras-tf", 331),
    "efficientnet_v2": ("keras-raw", 480),
    "convnext": ("keras-raw", 224),
    "mobilenet_v3": ("keras-raw", 224),
}


def named_cases() -> Iterator[Case]:
    for name, (module, size) in _MODULES.items():
        yield Case(name, PreprocessingProfile.named(name), _reference(module, size))


def other_cases() -> Iterator[Case]:
    for module, (name, size) in _OTHERS.items():
        profile = PreprocessingProfile.named(name, size)
        yield Case(f"{name} at {size}, {module}", profile, _reference(module, size))


def _reference(module: str, size: int) -> Callable[[Image.Image], Tensor]:
    prepare = getattr(keras.applications, module).preprocess_input

    def reference(image: Image.Image) -> Tensor:
        # `load_img` opens the file itself.
        file = io.BytesIO(image.fp.getvalue())
        loaded = keras.utils.load_img(file, target_size=(size, size))
        return np.asarray(prepare(keras.utils.img_to_array(loaded)))

    return reference
