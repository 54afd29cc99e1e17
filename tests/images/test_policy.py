"""The reading policy of an engine counts for everything that the engine opens."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    Embedder,
    ImageTooLargeError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    PreprocessingProfile,
    ProfileError,
    ReadPolicy,
    SearchEngine,
    Status,
)
from onnxsearch.images.reading import open_image
from onnxsearch.testing import FakeEmbedder
from tests.embedders.models import colour_model

SINGLE_PIXELS = PreprocessingProfile.named("keras-raw", 8)


def engine(*embedders: Embedder, reading: ReadPolicy) -> SearchEngine:
    return SearchEngine(
        embedders, InMemoryVectorStore(), InMemoryMetadataStore(), workers=1, reading=reading
    )


def write(path: Path, size: tuple[int, int], kind: str = "PNG") -> Path:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def embedders(reading: ReadPolicy) -> Iterator[Embedder]:
    yield OnnxEmbedder(
        colour_model(), name="onnx", profile=PreprocessingProfile("p", (8, 8)), reading=reading
    )
    yield FakeEmbedder()


def test_a_raised_limit_on_pixels_counts_and_not_the_embedders_own(folder: Path) -> None:
    path = write(folder / "large.png", (60, 50))
    with engine(
        *embedders(ReadPolicy(max_pixels=1_000)), reading=ReadPolicy(max_pixels=3_000)
    ) as lenient:
        assert lenient.index(folder).counts[Status.INDEXED] == 1
        lenient.add(path, id="added")
        with Image.open(path) as image:
            lenient.add(image, id="of Pillow")
        results = lenient.search(path, limit=3)
        assert len(results) == 3
        assert len(next(iter(lenient.search_many([path], limit=3)))) == 3
        assert "data:image" in results.to_html(folder / "page.html").read_text("utf-8")
        with pytest.raises(ImageTooLargeError):
            lenient.add(np.zeros((51, 60, 3), np.uint8))


def test_a_lowered_limit_counts(folder: Path) -> None:
    path = write(folder / "large.png", (60, 50))
    with engine(*embedders(ReadPolicy()), reading=ReadPolicy(max_pixels=2_999)) as strict:
        (outcome,) = strict.index(folder).outcomes
        assert outcome.status is Status.TOO_LARGE
        for call in (strict.add, strict.search):
            with pytest.raises(ImageTooLargeError):
                call(path)


def test_drafts_are_refused_where_a_model_needs_single_pixels() -> None:
    drafts = ReadPolicy(draft=16)
    model = OnnxEmbedder(colour_model(), profile=SINGLE_PIXELS)
    with pytest.raises(ProfileError, match="draft=None"):
        engine(model, reading=drafts)
    with pytest.raises(ProfileError, match="draft=None"):
        OnnxEmbedder(colour_model(), profile=SINGLE_PIXELS, reading=drafts)
    with (
        engine(FakeEmbedder("first"), reading=drafts) as other,
        pytest.raises(ProfileError, match="draft=None"),
    ):
        other.migrate("first", model)


class OwnProfile(Embedder):
    """An embedder that uses a profile and does not say so."""

    name, dimension, fingerprint = "own", 192, "own-1"

    def prepare(self, image: Any) -> np.ndarray:
        return SINGLE_PIXELS.apply(open_image(image)).reshape(-1)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return batch + 1


def test_an_embedder_that_meets_a_draft_does_not_stop_the_run(folder: Path) -> None:
    write(folder / "a.png", (40, 40))
    write(folder / "b.jpg", (800, 600), "JPEG")
    write(folder / "c.png", (30, 40))
    with engine(OwnProfile(), reading=ReadPolicy(draft=16)) as drafting:
        report = drafting.index(folder)
    statuses = {Path(outcome.uri).name: outcome.status for outcome in report.outcomes}
    assert statuses == {
        "a.png": Status.INDEXED, "b.jpg": Status.UNSUPPORTED, "c.png": Status.INDEXED
    }  # fmt: skip


def test_needles_and_raw_files_are_outcomes(folder: Path) -> None:
    write(folder / "a.png", (40, 40))
    write(folder / "needle.png", (100, 1))
    preview = io.BytesIO()
    Image.new("RGB", (160, 120)).save(preview, "TIFF", tiffinfo={254: 1})
    (folder / "DSC_0001.NEF").write_bytes(preview.getvalue() + bytes(10_000))
    large = PreprocessingProfile("large", (8, 8), fit="shortest", resize_to=8192)
    model = OnnxEmbedder(colour_model(), profile=large)
    with engine(model, reading=ReadPolicy()) as indexing:
        report = indexing.index(folder)
    statuses = {Path(outcome.uri).name: outcome.status for outcome in report.outcomes}
    assert statuses == {
        "a.png": Status.INDEXED, "needle.png": Status.TOO_LARGE, "DSC_0001.NEF": Status.UNSUPPORTED
    }  # fmt: skip
