"""Comparison of embedders with the vectors of a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onnxsearch import InvalidArgumentError, OnnxEmbedder, PreprocessingProfile
from tests.embedders.models import colour_model

IMAGES = np.random.default_rng(5).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
IMAGES[0, :, :, 0] = IMAGES[1, :, :, 2] = 255  # so that colours differ


def reference(folder: Path, embedder: OnnxEmbedder, **more: NDArray[np.generic]) -> Path:
    path = folder / "reference.npz"
    tensors = np.stack([embedder.prepare(image) for image in IMAGES])
    arrays = {"images": IMAGES, "vectors": embedder.run(tensors), "tensors": tensors, **more}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def made(
    profile: str = "keras-caffe", layout: str = "NCHW", output: str = "vector"
) -> OnnxEmbedder:
    return OnnxEmbedder(colour_model(layout, output=output), profile=profile, output=None)


def test_an_equal_reference_agrees(tmp_path: Path) -> None:
    report = made().verify(reference(tmp_path, made()))
    assert report.ok
    assert (report.pictures, report.parts, report.profiles) == (3, "nowhere", ())
    assert (report.cosine, report.model_cosine) == (pytest.approx(1), pytest.approx(1))
    assert report.tensor_difference == 0
    assert str(report).endswith("they agree")


def test_images_as_paths_and_tensors_in_the_other_layout(tmp_path: Path) -> None:
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    path = reference(tmp_path, made(layout="NHWC"), images=np.array(["0.png", "1.png", "2.png"]))
    assert made(layout="NCHW").verify(path).tensor_difference == 0
    path = reference(tmp_path, made(layout="NCHW"))
    assert made(layout="NHWC").verify(path).ok


def test_the_wrong_profile_is_reported_and_the_right_profile_named(tmp_path: Path) -> None:
    report = made("keras-tf").verify(reference(tmp_path, made("keras-caffe")))
    assert not report.ok
    assert report.parts == "preprocessing"
    assert report.model_cosine == pytest.approx(1)
    assert report.tensor_difference is not None
    assert report.tensor_difference > 50
    assert report.profiles == ("keras-caffe",)
    assert "keras-caffe" in str(report)


def test_the_wrong_model_is_reported(tmp_path: Path) -> None:
    other = OnnxEmbedder(colour_model(output="two"), profile="keras-caffe", output="a")
    report = made().verify(reference(tmp_path, other))
    assert (report.parts, report.tensor_difference) == ("model", 0)
    assert "differ in the model" in str(report)
    assert made("keras-tf").verify(reference(tmp_path, other)).parts == "both"


def test_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, images=IMAGES, vectors=made("keras-raw").embed(list(IMAGES)) * 7)
    right, wrong = made("keras-raw").verify(path), made("keras-tf").verify(path)
    assert right.ok
    assert (right.tensor_difference, right.model_cosine) == (None, None)
    assert wrong.parts == "preprocessing"
    assert "keras-raw" in wrong.profiles
    np.savez(path, images=IMAGES, vectors=np.eye(3, 8))
    lost = made().verify(path)
    assert (lost.parts, lost.profiles) == ("unknown", ())
    assert "add tensors=" in str(lost)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"images": IMAGES},
        {"images": IMAGES, "vectors": np.ones((2, 8))},
        {"images": IMAGES, "vectors": np.ones(3)},
        {"images": IMAGES, "vectors": np.zeros((3, 8))},
        {"images": IMAGES, "vectors": np.full((3, 8), np.nan)},
        {"images": IMAGES, "vectors": np.ones((3, 9))},
        {"images": IMAGES[:0], "vectors": np.ones((0, 8))},
        {"images": IMAGES, "vectors": np.ones((3, 8)), "tensors": np.ones((3, 3, 4, 4))},
        {"images": np.array([object()] * 3), "vectors": np.ones((3, 8))},
        {"images": IMAGES, "vectors": np.full((3, 8), "one")},
        {"images": IMAGES, "vectors": np.ones((3, 8), complex)},
        {"images": IMAGES, "vectors": np.ones((3, 8)), "tensors": np.full((3, 4), b"one")},
    ],
)
def test_references_that_do_not_fit(tmp_path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="reference"):
        made().verify(path)


def test_references_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    with pytest.raises(InvalidArgumentError, match=r"np\.savez"):
        made().verify(path)
    for content in (b"", b"garbage", b"PK\x03\x04 cut", b"\x93NUMPY\x01"):
        path.write_bytes(content)
        with pytest.raises(InvalidArgumentError, match="cannot be read"):
            made().verify(path)
    np.savez_compressed(path, images=IMAGES, vectors=np.random.default_rng(0).random((3, 800)))
    content = bytearray(path.read_bytes())
    content[-9_000:-8_000] = bytes(1_000)
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        made().verify(path)
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        made().verify(tmp_path / "one.npy")


def test_lite0_with_the_statistics_of_imagenet_is_reported(
    tmp_path: Path, shared: Callable[[str], Path]
) -> None:
    model = shared("models/efficientnet-lite0.int8.emb.onnx")
    photos = sorted(shared("data/grocery").glob("*/*.jpg"))[:400:200]
    right = OnnxEmbedder(model, profile="efficientnet-lite")
    tensors = np.stack([right.prepare(photo) for photo in photos])
    path = tmp_path / "reference.npz"
    np.savez(
        path, images=[str(photo) for photo in photos], vectors=right.run(tensors), tensors=tensors
    )
    assert right.verify(path).ok
    imagenet = replace(right.profile, steps=PreprocessingProfile.named("torchvision").steps)
    report = OnnxEmbedder(model, profile=imagenet).verify(path)
    assert report.parts == "preprocessing"
    assert report.cosine < 0.99
    assert "efficientnet-lite0" in report.profiles
