"""References of torchvision, timm, OpenCLIP and transformers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from onnxsearch.embedders.hub.catalogue import catalogue
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.resize import Size
from tests.embedders.hub import processors
from tools.golden.compare import Case, Tensor

# torchvision's own operators are missing where its wheel was built for another torch;
# its transforms need none of them, but importing it declares their gradients.
try:
    import torchvision  # noqa: F401
except RuntimeError:
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip
import timm
import transformers
from timm.data import create_transform, resolve_data_config
from torchvision.transforms._presets import ImageClassification
from transformers.image_utils import load_image

TIMM_STEP = 10
"""Of timm's configurations, every tenth is compared."""

_KINDS = {"image_processor_type", "feature_extractor_type", "processor_class"}
"""Keys that name classes, which are named otherwise here."""

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_NAMED_TRANSFORMERS = {
    "hf-clip": ("CLIP", {}),
    "hf-vit": ("ViT", {}),
    "siglip": ("Siglip", {}),
    "dinov2": ("Bit", {"size": {"shortest_edge": 256}, **_IMAGENET}),
    "hf-convnext": ("ConvNext", {"size": {"shortest_edge": 224}, **_IMAGENET}),
    "deit": ("DeiT", _IMAGENET),
    "mobilenet-hf": ("MobileNetV2", {}),
}
# Each class with nothing but its name, and as published models have it.
_CONFIGS = [
    *(
        (family, {})
        for family in ("CLIP", "ViT", "Siglip", "Bit", "DeiT", "ConvNext", "MobileNetV1")
    ),
    *(("MobileNetV2", {}), ("Levit", {})),
    ("CLIP", {"size": 224, "crop_size": 224, "resample": 3}),
    ("CLIP", {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}),
    ("CLIP", {"size": {"height": 256, "width": 240}, "do_center_crop": False}),
    ("CLIP", {"size": 100, "crop_size": 131}),
    ("Bit", {"size": {"shortest_edge": 256}, **_IMAGENET}),
    ("Siglip", {"size": {"height": 384, "width": 384}}),
    ("Siglip", {"size": {"height": 256, "width": 256}, "rescale_factor": 1 / 127.5}),
    ("ViT", {"size": 384, "resample": 3, **_IMAGENET}),
    ("ViT", {"do_normalize": False}),
    ("ViT", {"do_rescale": False}),
    ("DeiT", {"size": 256, "crop_size": 224, "resample": 3, **_IMAGENET}),
    ("DeiT", {"size": {"height": 438, "width": 438}, "crop_size": 384, **_IMAGENET}),
    ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875, **_IMAGENET}),
    ("ConvNext", {"size": 224, "crop_pct": 0.95, "resample": 2, **_IMAGENET}),
    ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 1.0, **_IMAGENET}),
    ("MobileNetV2", {"size": {"shortest_edge": 192}, "crop_size": 160}),
    ("MobileNetV1", {"size": {"shortest_edge": 224}, "crop_size": 192, "do_convert_rgb": True}),
    ("Levit", {"size": 224, "do_center_crop": True}),
]


def named_cases() -> Iterator[Case]:
    for name, size in (("torchvision", 256), ("torchvision-v2", 232)):
        preset = ImageClassification(crop_size=224, resize_size=size)
        yield Case(name, PreprocessingProfile.named(name), _as_loaded(preset))
    for name in ("openai-clip", "open-clip"):
        yield Case(name, PreprocessingProfile.named(name), _open_clip(224))
    yield Case(
        "mobileclip",
        PreprocessingProfile.named("mobileclip"),
        _open_clip(256, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear"),
    )
    for name, (family, values) in _NAMED_TRANSFORMERS.items():
        reference = _transformers(family, values, "pil")
        yield Case(name, PreprocessingProfile.named(name), reference)
    yield Case(
        "hf-clip-torchvision",
        PreprocessingProfile.named("hf-clip-torchvision"),
        _transformers("CLIP", {}, "torchvision"),
    )


def transformers_cases() -> Iterator[Case]:
    for family, values in _CONFIGS:
        content = {"image_processor_type": f"{family}ImageProcessor", **values}
        for backend in ("pil", "torchvision"):
            profile = _derived("preprocessor_config.json", content, hf_backend=backend)
            yield Case(
                f"{family} {json.dumps(values)}, {backend}",
                profile,
                _transformers(family, values, backend),
            )


def open_clip_cases() -> Iterator[Case]:
    for size, given in (
        (256, {"resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3}),
        (224, {"resize_mode": "longest"}),
        (224, {"interpolation": "bilinear", "mean": [0.485, 0.456, 0.406]}),
        ((256, 192), {"interpolation": "bilinear"}),
    ):
        values = {"preprocess_cfg": given, "model_cfg": {"vision_cfg": {"image_size": size}}}
        profile = _derived("open_clip_config.json", values)
        yield Case(f"OpenCLIP {size} {given}", profile, _open_clip(size, **given))


def catalogue_cases() -> Iterator[Case]:
    """Yield the models of the catalogue, with the processors that their repositories have."""
    for family, values in (
        ("CLIP", processors.CLIP_PROCESSOR),
        ("Siglip", processors.SIGLIP_PROCESSOR),
        ("Bit", processors.DINO_PROCESSOR),
        ("CLIP", processors.NOMIC_PROCESSOR),
        ("ConvNext", processors.RESNET_PROCESSOR),
        ("ViT", processors.VIT_PROCESSOR),
    ):
        profile = _derived("preprocessor_config.json", dict(values))
        given = {key: value for key, value in values.items() if key not in _KINDS}
        yield Case(f"catalogue, {family}", profile, _transformers(family, given, "pil"))
    jina = processors.JINA_PROCESSOR
    given = {key: jina[key] for key in ("mean", "std", "resize_mode", "interpolation")}
    profile = _derived("preprocessor_config.json", dict(jina))
    yield Case("catalogue, JinaCLIP", profile, _open_clip(224, fill_color=0, **given))
    mobilenet = catalogue()["mobilenetv4-small"]
    config = timm.get_pretrained_cfg("mobilenetv4_conv_small.e2400_r224_in1k").to_dict()
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    profile = _derived("config.json", {"architecture": "any", "pretrained_cfg": mobilenet.timm})
    yield Case("catalogue, MobileNetV4", profile, _as_loaded(transform))


def timm_cases() -> Iterator[Case]:
    names = sorted(timm.list_pretrained())[::TIMM_STEP]
    for name in names:
        yield _timm(name, timm.get_pretrained_cfg(name).to_dict())
    first = timm.get_pretrained_cfg(names[0]).to_dict()
    for change in (
        {"crop_mode": "border"},
        {"crop_mode": "border", "crop_pct": 1.0},
        {"crop_mode": "border", "input_size": (3, 192, 256)},
        {"input_size": (3, 192, 256)},
        {"input_size": (3, 192, 256), "crop_mode": "squash"},
    ):
        yield _timm(f"{names[0]} {change}", {**first, **change})


def _timm(name: str, config: dict[str, object]) -> Case:
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config))
    profile = _derived("config.json", {"architecture": "any", "pretrained_cfg": config})
    return Case(f"timm {name}", profile, _as_loaded(transform))


def _derived(name: str, values: dict[str, object], **options: str) -> PreprocessingProfile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(json.dumps(values, default=str))
        return PreprocessingProfile.from_config(path, **options)


def _as_loaded(transform: Callable[[Image.Image], torch.Tensor]) -> Callable[..., Tensor]:
    """The loader of torchvision's and timm's datasets converts before it transforms."""
    return lambda image: _channels_last(transform(image.convert("RGB")))


def _open_clip(size: int | Size, **values: object) -> Callable[[Image.Image], Tensor]:
    transform = open_clip.image_transform(size, is_train=False, **values)
    return lambda image: _channels_last(transform(image))


def _transformers(
    family: str, values: dict[str, object], backend: str
) -> Callable[[Image.Image], Tensor]:
    suffix = "Pil" if backend == "pil" else ""
    processor = getattr(transformers, f"{family}ImageProcessor{suffix}")(**values)

    def reference(image: Image.Image) -> Tensor:
        if processor.do_convert_rgb:
            image = ImageOps.exif_transpose(image)
        else:
            image = load_image(image)
        return _channels_last(processor(image, return_tensors="pt")["pixel_values"][0])

    return reference


def _channels_last(tensor: torch.Tensor) -> Tensor:
    return np.ascontiguousarray(tensor.permute(1, 2, 0).numpy())
