"""What the files beside a model say, and what they must not get away with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from onnxsearch.embedders.onnx.embedder import OnnxEmbedder
from onnxsearch.errors import ProfileError
from onnxsearch.images.conversion import AS_LIBRARIES, AS_OPEN_CLIP
from onnxsearch.images.preprocessing.json_config import Config
from onnxsearch.images.preprocessing.model_config import SIDECARS, find_sidecar
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.preprocessing.timm import open_clip_profile, timm_profile
from onnxsearch.images.preprocessing.transformers import transformers_profile
from tests.embedders.models import colour_model

Write = Callable[[str, object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


CLIP = {"image_processor_type": "CLIPImageProcessor"}
TIMM = {"architecture": "resnet50", "pretrained_cfg": {"input_size": [3, 224, 224]}}
OPEN_CLIP = {"preprocess_cfg": {"size": 224}, "model_cfg": {}}


@pytest.mark.parametrize(
    ("name", "content", "source"),
    [
        (
            "preprocessor_config.json",
            CLIP,
            "preprocessor_config.json (CLIPImageProcessor, pil backend)",
        ),
        (
            "processor_config.json",
            {"image_processor": {**CLIP, "image_processor_type": "CLIPImageProcessorFast"}},
            "processor_config.json, image_processor (CLIPImageProcessorFast, torchvision backend)",
        ),
        ("config.json", TIMM, "config.json, pretrained_cfg"),
        ("open_clip_config.json", OPEN_CLIP, "open_clip_config.json"),
    ],
)
@pytest.mark.parametrize("folder", [".", "onnx"])
def test_found_beside_the_model_and_one_folder_up(
    write: Write, tmp_path: Path, name: str, content: object, source: str, folder: str
) -> None:
    write(name, content)
    found = find_sidecar(tmp_path / folder / "model.onnx")
    assert found is not None
    profile, said = found
    assert said == profile.source == source
    assert profile.size == (224, 224)


def test_the_nearest_file_counts_and_then_the_first_of_the_list(
    write: Write, tmp_path: Path
) -> None:
    contents = (CLIP, {"image_processor": CLIP}, TIMM, OPEN_CLIP)
    for name, content in zip(SIDECARS, contents, strict=True):
        write(name, content)
    write("onnx/open_clip_config.json", OPEN_CLIP)
    for model, expected in (("onnx/model.onnx", "open_clip"), ("model.onnx", "preprocessor")):
        found = find_sidecar(tmp_path / model)
        assert found is not None
        assert found[1].startswith(expected)


def test_an_embedder_finds_its_profile(write: Write, tmp_path: Path) -> None:
    model = tmp_path / "onnx" / "model.onnx"
    model.parent.mkdir()
    model.write_bytes(colour_model(layout="NCHW"))
    with pytest.raises(ProfileError, match=r"beside it or one folder up.*hf-clip"):
        OnnxEmbedder(model)
    write("preprocessor_config.json", CLIP)
    embedder = OnnxEmbedder(model)
    assert embedder.profile == PreprocessingProfile.named("hf-clip")
    assert embedder.profile.source.startswith("preprocessor_config.json")
    assert OnnxEmbedder(model, profile="siglip").profile.source == "named profile 'siglip'"


def test_files_that_say_nothing_are_passed_over(write: Write, tmp_path: Path) -> None:
    assert find_sidecar(tmp_path / "model.onnx") is None
    write("config.json", {"architectures": ["CLIPModel"], "model_type": "clip"})
    write("processor_config.json", {"processor_class": "CLIPProcessor"})
    assert find_sidecar(tmp_path / "model.onnx") is None
    with pytest.raises(ProfileError, match="says nothing about preprocessing"):
        PreprocessingProfile.from_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (CLIP, "hf-clip"),
        ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224}, "hf-clip"),
        ({"image_processor_type": "CLIPImageProcessorFast"}, "hf-clip-torchvision"),
        ({"image_processor_type": "ViTImageProcessor", "size": None}, "hf-vit"),
        ({"image_processor_type": "SiglipImageProcessor"}, "siglip"),
        ({"image_processor_type": "JinaCLIPImageProcessor", "size": 224}, "open-clip"),
    ],
)
def test_what_is_missing_is_the_default_of_the_class(
    write: Write, values: object, named: str
) -> None:
    path = write("preprocessor_config.json", values)
    assert PreprocessingProfile.from_config(path) == PreprocessingProfile.named(named)


@pytest.mark.parametrize(
    ("kind", "edge", "resized", "fit"),
    [
        # The published edges: 256 / 224 of the crop for LeViT, and the inverse of 224 / 256.
        ("Levit", 224, (256, 256), "shortest"),
        ("Levit", 192, (219, 219), "shortest"),
        ("ConvNext", 224, (256, 256), "shortest"),
        ("ConvNext", 383, (437, 437), "shortest"),
        ("ConvNext", 384, None, "squash"),
    ],
)
def test_edges_before_the_crop(
    write: Write, kind: str, edge: int, resized: tuple[int, int] | None, fit: str
) -> None:
    values = {"image_processor_type": f"{kind}ImageProcessor", "size": {"shortest_edge": edge}}
    profile = PreprocessingProfile.from_config(write("preprocessor_config.json", values))
    assert (profile.resize_to, profile.fit) == (resized, fit)


@pytest.mark.parametrize(
    ("kind", "size", "resized", "fit", "resample"),
    [
        ("CLIP", 224, None, "shortest", "bicubic"),
        ("ViT", 224, None, "squash", "bilinear"),
        ("Siglip", 224, None, "squash", "bicubic"),
        ("Bit", 224, None, "shortest", "bicubic"),
        ("DeiT", 224, 256, "squash", "bicubic"),
        ("ConvNext", 384, None, "squash", "bicubic"),
        ("MobileNetV1", 224, 256, "shortest", "bilinear"),
        ("MobileNetV2", 224, 256, "shortest", "bilinear"),
        ("Levit", 224, 256, "shortest", "bicubic"),
    ],
)
def test_sizes_that_are_missing_are_those_of_the_class(
    write: Write, kind: str, size: int, resized: int | None, fit: str, resample: str
) -> None:
    values = {"image_processor_type": f"{kind}ImageProcessor"}
    profile = PreprocessingProfile.from_config(write("preprocessor_config.json", values))
    assert profile.size == (size, size)
    assert profile.resize_to == (None if resized is None else (resized, resized))
    assert (profile.fit, profile.resample) == (fit, resample)


@pytest.mark.parametrize(
    ("share", "resized"), [({}, 256), ({"crop_pct": 0}, 256), ({"crop_pct": 0.5}, 448)]
)
def test_the_share_of_a_crop_of_timm(write: Write, share: dict[str, float], resized: int) -> None:
    values = {"pretrained_cfg": {"input_size": [3, 224, 224], **share}}
    profile = PreprocessingProfile.from_config(write("config.json", values))
    assert profile.resize_to == (resized, resized)


@pytest.mark.parametrize("kind", ["CLIP", "ViT", "Siglip", "ConvNext", "Levit"])
def test_pixels_are_rescaled_to_1_unless_told_otherwise(write: Write, kind: str) -> None:
    values = {"image_processor_type": f"{kind}ImageProcessor", "do_normalize": False}
    profile = PreprocessingProfile.from_config(write("preprocessor_config.json", values))
    assert profile.apply(Image.new("RGB", (300, 300), "white")).max() == pytest.approx(1.0)


def test_a_conversion_to_rgb_of_null_is_none(write: Write) -> None:
    """As SigLIP 2 has it; transformers' loader then drops the alpha channel."""
    values = {"image_processor_type": "SiglipImageProcessor", "do_convert_rgb": None}
    profile = PreprocessingProfile.from_config(write("preprocessor_config.json", values))
    assert profile.decode.alpha == "drop"
    assert PreprocessingProfile.named("siglip").decode.alpha == "white"


def test_the_backend_can_be_said(write: Write) -> None:
    path = write("preprocessor_config.json", CLIP)
    profile = PreprocessingProfile.from_config(path, hf_backend="torchvision")
    assert profile == PreprocessingProfile.named("hf-clip-torchvision")
    with pytest.raises(ProfileError, match="'pil', 'torchvision'"):
        PreprocessingProfile.from_config(path, hf_backend="torch")  # type: ignore[arg-type]


def test_timm_and_open_clip_become_profiles(write: Write) -> None:
    timm = PreprocessingProfile.from_config(
        write(
            "config.json",
            {"pretrained_cfg": {"input_size": [3, 288, 288], "crop_pct": 0.95, "test_crop_pct": 1}},
        )
    )
    imagenet = PreprocessingProfile.named("torchvision").steps
    assert timm == PreprocessingProfile(
        "timm", (288, 288), fit="shortest", resize_to=(303, 303), resample="bicubic",
        steps=imagenet, decode=AS_LIBRARIES,
    )  # fmt: skip
    clip = PreprocessingProfile.from_config(
        write("open_clip_config.json", {"model_cfg": {"vision_cfg": {"image_size": 256}},
            "preprocess_cfg": {"resize_mode": "squash", "size": 224}
        })
    )  # fmt: skip
    assert (clip.size, clip.fit, clip.decode) == ((256, 256), "squash", AS_OPEN_CLIP)
    assert clip.steps == PreprocessingProfile.named("open-clip").steps


def test_a_border_has_the_colour_of_the_mean(write: Write) -> None:
    config = {"input_size": [3, 40, 60], "crop_mode": "border", "crop_pct": 1, "mean": [0, 0.5, 1]}
    profile = PreprocessingProfile.from_config(write("config.json", {"pretrained_cfg": config}))
    pixels = np.asarray(profile.pixels(Image.new("RGB", (200, 40), "white")))
    assert pixels[0, 0].tolist() == [0, 128, 255]
    assert (pixels[14:26] == 255).all()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '"CLIP"', "{}", "[" * 100_000, '{"a": ' * 50_000, "1" * 10_000),
        *(b"\xed\xa0\x80", b"\xff\xfe\x00", b"\x00" * 10),
    ],
    ids=lambda text: repr(text[:9]),
)
def test_what_is_no_configuration(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProfileError, match=r"preprocessor_config\.json"):
        find_sidecar(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "values",
    [
        {"image_processor_type": "WhisperFeatureExtractor"},
        {"image_processor_type": "DonutImageProcessor"},
        {"image_processor_type": ["CLIPImageProcessor"]},
        {"image_processor_type": "CLIPImageProcessor\n"},
        {**CLIP, "size": 0},
        {**CLIP, "size": -224},
        {**CLIP, "size": True},
        {**CLIP, "size": 224.0},
        {**CLIP, "size": "224"},
        {**CLIP, "size": 10**400},
        {**CLIP, "size": 1_000_000},
        {**CLIP, "size": {"longest_edge": 224}},
        {**CLIP, "size": {"shortest_edge": 224, "longest_edge": 1333}},
        {**CLIP, "size": {"shortest_edge": None}},
        {**CLIP, "size": [224]},
        {**CLIP, "crop_size": {"height": 224}},
        {**CLIP, "do_resize": False},
        {**CLIP, "do_center_crop": False},
        {**CLIP, "do_center_crop": "no"},
        {**CLIP, "do_pad": True},
        {**CLIP, "resample": 9},
        {"image_processor_type": "CLIPImageProcessorFast", "resample": 0},
        {**CLIP, "resample": "bicubic"},
        {**CLIP, "resample": [3]},
        {**CLIP, "image_mean": [0.5, 0.5]},
        {**CLIP, "image_mean": [0.5, 0.5, None]},
        {**CLIP, "image_mean": [float("nan")] * 3},
        {**CLIP, "image_std": [0, 1, 1]},
        {**CLIP, "image_std": 10**400},
        {**CLIP, "rescale_factor": 0},
        {**CLIP, "rescale_factor": float("inf")},
        {**CLIP, "rescale_factor": 1e300},
        {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 1e-9},
        {"image_processor_type": "ConvNextImageProcessor", "size": 224, "crop_pct": 0},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 9, "width": 9}},
        {"image_processor_type": "SiglipImageProcessor", "size": 224},
    ],
    ids=lambda values: json.dumps(values)[:90],
)
def test_what_is_not_supported_is_refused(write: Write, values: object) -> None:
    path = write("preprocessor_config.json", values)
    with pytest.raises(ProfileError):
        PreprocessingProfile.from_config(path).apply(Image.new("RGB", (9, 9)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"pretrained_cfg": []}),
        ("config.json", {"pretrained_cfg": {"input_size": [1, 28, 28]}}),
        ("config.json", {"pretrained_cfg": {"input_size": [3, 0, 224]}}),
        ("config.json", {"pretrained_cfg": {"input_size": 224}}),
        ("config.json", {"pretrained_cfg": {"crop_pct": 1e-5}}),
        ("config.json", {"pretrained_cfg": {"crop_pct": -1}}),
        ("config.json", {"pretrained_cfg": {"crop_mode": "other"}}),
        ("config.json", {"pretrained_cfg": {"interpolation": "random"}}),
        ("config.json", {"pretrained_cfg": {"crop_mode": "border", "mean": [127, 0, 0]}}),
        ("open_clip_config.json", {"preprocess_cfg": "CLIP"}),
        ("open_clip_config.json", {"preprocess_cfg": {"resize_mode": "crop"}}),
        ("open_clip_config.json", {"preprocess_cfg": {"fill_color": 128}}),
        ("processor_config.json", {"image_processor": 3}),
    ],
)
def test_timm_and_open_clip_are_not_trusted_either(
    write: Write, tmp_path: Path, name: str, content: object
) -> None:
    write(name, content)
    with pytest.raises(ProfileError, match=name.replace(".", r"\.")):
        find_sidecar(tmp_path / "model.onnx")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ProfileError, match="regular file"):
        find_sidecar(tmp_path / "model.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_and_a_giant_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ProfileError, match="regular file"):
        find_sidecar(tmp_path / "model.onnx")
    (tmp_path / "config.json").unlink()
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ProfileError, match="at most"):
        find_sidecar(tmp_path / "model.onnx")
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").symlink_to("config.json")
    with pytest.raises(ProfileError, match="cannot be read"):
        find_sidecar(tmp_path / "model.onnx")


numbers = st.integers() | st.floats()
anything = st.one_of(
    *(st.none(), st.booleans(), numbers, st.text(max_size=4), st.lists(numbers, max_size=4)),
    st.dictionaries(st.sampled_from(["height", "width", "shortest_edge"]), numbers),
)
keys = (
    *("size", "crop_size", "do_resize", "do_center_crop", "resample", "image_mean", "image_std"),
    *("do_rescale", "rescale_factor", "do_normalize", "do_convert_rgb", "crop_pct", "do_pad"),
    *("input_size", "mean", "std", "interpolation", "crop_mode", "resize_mode", "fill_color"),
)
families = st.sampled_from(["CLIP", "ViT", "Siglip", "Bit", "DeiT", "ConvNext", "Levit"])


@given(st.dictionaries(st.sampled_from(keys), anything), families)
def test_any_json_gives_a_profile_or_our_error(values: dict[str, object], family: str) -> None:
    processor = {**values, "image_processor_type": f"{family}ImageProcessor"}
    for read, config in (
        (lambda config: transformers_profile(config, None), Config(processor, "any")),
        (timm_profile, Config(values, "any")),
        (open_clip_profile, Config({"preprocess_cfg": values}, "any")),
    ):
        try:
            profile = PreprocessingProfile.of(read(config))
        except ProfileError:
            continue
        assert PreprocessingProfile.from_json(profile.to_json()) == profile


@given(st.dictionaries(st.sampled_from([*keys, "name", "steps", "decode", "fill"]), anything))
def test_any_json_as_a_profile_gives_a_profile_or_our_error(values: dict[str, object]) -> None:
    for text in (json.dumps(values), json.dumps({"size": [2, 2], **values})):
        try:
            profile = PreprocessingProfile.from_json(text)
        except ProfileError:
            continue
        assert profile == replace(profile, source="elsewhere")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[]", '{"size": [2, 2], "name": 3}', "3", "{"],
    ids=lambda text: repr(text[:9]),
)
def test_json_that_is_no_profile(text: str) -> None:
    with pytest.raises(ProfileError):
        PreprocessingProfile.from_json(text)
