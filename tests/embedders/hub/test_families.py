"""Every model of the catalogue: downloaded from a stand-in, loaded without an argument."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsearch import OnnxEmbedder, OnnxTextEmbedder, PreprocessingProfile
from onnxsearch.embedders.hub.catalogue import CataloguedModel, TextTower, catalogue
from onnxsearch.embedders.hub.lock import ModelLock
from tests.embedders.hub.families import COLOURS, DIMENSION, family
from tests.embedders.hub.processors import IMAGENET_DEVIATION, IMAGENET_MEAN
from tests.hub_server import Hub

Get = Callable[..., object]

FIT = {
    "clip-vit-b32": ("shortest", None, "bicubic"),
    "clip-vit-b16": ("shortest", None, "bicubic"),
    "clip-vit-l14": ("shortest", None, "bicubic"),
    "siglip2-base": ("squash", None, "bilinear"),
    "dinov2-small": ("shortest", (256, 256), "bicubic"),
    "dinov2-base": ("shortest", (256, 256), "bicubic"),
    "nomic-embed-vision-v1.5": ("shortest", None, "bicubic"),
    "jina-clip-v1": ("shortest", None, "bicubic"),
    "resnet50": ("shortest", (256, 256), "bicubic"),
    "mobilenetv4-small": ("shortest", (256, 256), "bicubic"),
    "vit-base": ("squash", None, "bilinear"),
}
OUTPUT = {
    "siglip2-base": "pooler_output",
    "dinov2-small": "last_hidden_state",
    "dinov2-base": "last_hidden_state",
    "nomic-embed-vision-v1.5": "last_hidden_state",
    "resnet50": "pooler_output",
    "mobilenetv4-small": "logits",
    "vit-base": "last_hidden_state",
}
PHOTO = Image.fromarray(
    np.random.default_rng(5).integers(0, 256, (300, 400, 3), np.uint8).astype(np.uint8)
)


def test_there_are_at_least_ten() -> None:
    assert len(catalogue()) >= 10
    assert set(FIT) == set(catalogue())


@pytest.mark.parametrize("name", catalogue())
def test_profile_output_and_pooling_are_found(name: str, hub: Hub, get: Get, cache: Path) -> None:
    entry = catalogue()[name]
    hub.add(entry.repository, family(name), entry.revision)
    get(name)
    check_files(entry, cache)
    embedder = OnnxEmbedder.hub(name)
    profile = embedder.profile
    assert embedder.name == name
    assert profile.size == (224, 224)
    assert (profile.fit, profile.resize_to, profile.resample) == FIT[name]
    assert embedder.output == OUTPUT.get(name, "image_embeds")
    assert embedder.dimension == DIMENSION
    # The same as a user gets who names everything by hand.
    path = cache.joinpath(
        entry.repository.replace("/", "--"),
        ModelLock.read(cache / "models.lock.json").names[name],
        entry.image,
    )
    by_hand = OnnxEmbedder(path, name=name, profile=profile, pooling=entry.pooling)
    np.testing.assert_array_equal(embedder.embed([PHOTO]), by_hand.embed([PHOTO]))
    assert embedder.fingerprint == by_hand.fingerprint
    if entry.text is not None:
        check_text(embedder, entry.text)


def check_files(entry: CataloguedModel, cache: Path) -> None:
    """Check that the files that are needed were downloaded, and no others."""
    wanted = {*entry.files(text=True), "config.json", "preprocessor_config.json"}
    if entry.text:
        wanted.add("tokenizer_config.json")
    (model,) = ModelLock.read(cache / "models.lock.json")
    assert set(model.files) == wanted
    (folder,) = cache.glob("*--*/*")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == wanted


def check_text(embedder: OnnxEmbedder, tower: TextTower) -> None:
    """Check that words find the image of their colour."""
    images = embedder.embed([Image.new("RGB", (64, 64), colour) for colour in COLOURS.values()])
    texts = embedder.embed_text(list(COLOURS))
    assert np.argmax(texts @ images.T, axis=1).tolist() == list(range(len(COLOURS)))
    alone = OnnxTextEmbedder.hub(embedder.name)
    np.testing.assert_array_equal(alone.embed(list(COLOURS)), texts)
    assert alone.profile.name == tower.profile
    assert alone.source is not None
    assert alone.source.file == tower.model


def test_mobilenet_is_prepared_as_timm_does_it(hub: Hub, get: Get, tmp_path: Path) -> None:
    entry = catalogue()["mobilenetv4-small"]
    hub.add(entry.repository, family(entry.name), entry.revision)
    get(entry.name)
    config = {
        "architecture": "any",
        "pretrained_cfg": {
            "input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic",
            "mean": IMAGENET_MEAN, "std": IMAGENET_DEVIATION,
        },
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    expected = PreprocessingProfile.from_config(path).apply(PHOTO, "NCHW")
    np.testing.assert_array_equal(OnnxEmbedder.hub(entry.name).prepare(PHOTO), expected)


def test_the_text_profile_of_a_repository_is_found(hub: Hub, get: Get) -> None:
    for name, profile in (("clip-vit-b32", "clip"), ("siglip2-base", "siglip2")):
        revision = hub.add("someone/towers", family(name))
        arguments = ["--revision", revision, "--file", "onnx/text_model.onnx"]
        get("someone/towers", *arguments, "--file", "tokenizer.json")
        text = OnnxTextEmbedder.hub("someone/towers", revision, "onnx/text_model.onnx")
        assert text.profile.name == profile
