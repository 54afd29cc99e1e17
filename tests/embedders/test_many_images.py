"""`Embedder.embed` of several images: all cores, in order, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, strategies as st

from onnxsearch import BrokenImageError, Embedder, OnnxEmbedder, PreprocessingProfile
from onnxsearch.embedders import base
from onnxsearch.types import ImageInput
from tests.embedders.models import colour_model

CORES = 3


@pytest.fixture(autouse=True, scope="module")
def cores() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "available_cores", lambda: CORES)
        yield


class Numbers(Embedder):
    """Each image is the bytes of its number, whose vector points to it."""

    name, dimension, fingerprint = "numbers", 2, "numbers-1"

    def __init__(self, together: int = 1) -> None:
        self.batches: list[int] = []
        self.views = 0
        self._met = threading.Barrier(together)

    def prepare(self, image: ImageInput) -> np.ndarray:
        assert isinstance(image, bytes)
        if not image.isdigit():
            raise BrokenImageError(f"image {image!r}")
        return np.array([1.0, float(image)], np.float32)

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.batches.append(len(batch))
        self._met.wait(timeout=10)
        return batch

    def parallel(self, workers: int) -> Numbers:
        assert workers == CORES
        self.views += 1
        return self


def images(count: int) -> list[bytes]:
    return [str(number).encode() for number in range(count)]


@given(st.integers(0, 40), st.integers(1, 6), st.booleans())
def test_the_order_is_kept(count: int, batch_size: int, iterated: bool) -> None:
    model = Numbers()
    given = images(count)
    vectors = model.embed(iter(given) if iterated else given, batch_size=batch_size)
    np.testing.assert_allclose(vectors[:, 1] / vectors[:, 0], np.arange(count), rtol=1e-5)
    assert sum(model.batches) == count
    assert max(model.batches, default=1) <= batch_size


def test_one_core_embeds_all_images_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone(Numbers):
        def parallel(self, workers: int) -> Numbers:
            assert workers == 1
            return self

    monkeypatch.setattr(base, "available_cores", lambda: 1)
    model = Alone()
    assert len(model.embed(iter(images(3)), batch_size=1)) == 3
    assert model.batches == [1, 1, 1]


def test_batches_are_run_at_once() -> None:
    model = Numbers(together=CORES)  # a run ends when all cores have met
    assert len(model.embed(images(6))) == 6
    assert model.batches == [2, 2, 2]


def test_a_single_image_needs_no_threads() -> None:
    model = Numbers()
    model.embed(b"7")
    model.embed([b"7"])
    assert model.views == 0


def test_the_first_image_that_fails_is_reported() -> None:
    for count in (5, 50):
        mixed: list[ImageInput] = [*images(count), b"first", *images(count), b"second"]
        with pytest.raises(BrokenImageError, match="first"):
            Numbers().embed(mixed, batch_size=2)


def test_a_long_iterator_is_read_a_few_batches_ahead() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"7" if taken != 5 else b"broken"

    with pytest.raises(BrokenImageError):
        Numbers().embed(endless(), batch_size=2)
    assert taken <= 2 * CORES * 4


def test_an_error_of_the_iterator_is_raised() -> None:
    def failing() -> Iterator[bytes]:
        yield from images(20)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Numbers().embed(failing(), batch_size=2)


def test_an_onnx_model_gives_the_vectors_of_single_images() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (11, 9, 12, 3), np.uint8)
    model = OnnxEmbedder(colour_model(), profile=PreprocessingProfile("small", (6, 5)), threads=2)
    together = model.embed(list(pixels))
    np.testing.assert_allclose(together, np.concatenate(list(map(model.embed, pixels))), rtol=1e-5)
