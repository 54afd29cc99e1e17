"""Our tensors equal those of the real libraries, whose hashes `tools/golden` keeps here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from onnxsearch.images.preprocessing.presets import profile_names
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import open_image
from tools.golden.compare import SAMPLE, SAMPLE_STEP, digest
from tools.golden.images import FAST, golden_images

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DIGESTS = {
    name: digests
    for family in ("keras", "torch")
    for name, digests in json.loads((GOLDEN / f"{family}.json").read_text())["digests"].items()
}
IMAGES = {image.name: image.data for image in golden_images(FAST)}


@pytest.mark.parametrize("name", DIGESTS)
def test_every_bit_is_the_librarys(name: str) -> None:
    profile = PreprocessingProfile.named(name)
    different = [
        image
        for image, expected in DIGESTS[name].items()
        if digest(profile.apply(open_image(IMAGES[image]), "NHWC")) != expected
    ]
    assert not different
    assert len(DIGESTS[name]) == len(FAST)


@pytest.mark.parametrize("family", ["keras", "torch"])
def test_samples_of_the_tensors(family: str) -> None:
    """Where a hash differs, this shows by how much."""
    image = open_image(IMAGES[SAMPLE])
    with np.load(GOLDEN / f"{family}.npz") as samples:
        for name, expected in samples.items():
            tensor = PreprocessingProfile.named(name).apply(image, "NHWC")
            np.testing.assert_array_equal(tensor[::SAMPLE_STEP, ::SAMPLE_STEP], expected, name)


def test_every_named_profile_of_a_library_has_references() -> None:
    # The EfficientNet-Lite of TensorFlow's TPU models has no library that could be asked.
    lite = {name for name in profile_names() if name.startswith("efficientnet-lite")}
    assert set(DIGESTS) == set(profile_names()) - lite
