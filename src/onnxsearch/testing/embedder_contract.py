"""The contract of an `Embedder`, as tests that authors of embedders inherit."""

from __future__ import annotations

import json
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from PIL import Image

from onnxsearch._internal.validation import check_name
from onnxsearch.embedders.base import Embedder
from onnxsearch.errors import ImageError
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.types import ImageInput, Metric
from onnxsearch.vectors.base import Vectors

KINDS = ("str", "path", "bytes", "file", "pillow", "array")
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")


class EmbedderContract(ABC):
    """Inherit it in a test module, write `make_embedder`, and run pytest.

    Each test's docstring says what its failure means.

    Example:
        >>> from onnxsearch.testing import EmbedderContract
        >>> class TestMyEmbedder(EmbedderContract):
        ...     def make_embedder(self):
        ...         return MyEmbedder("model.onnx")
    """

    tolerance: float = 1e-5
    """How far two vectors of the same image may differ in any number. Models add up in
    another order when the batch has another size, hence not 0."""

    picklable: bool = False
    """Whether the embedder can be pickled, for other processes."""

    @abstractmethod
    def make_embedder(self) -> Embedder:
        """Return a new embedder, the same each time."""

    @pytest.fixture
    def embedder(self) -> Iterator[Embedder]:
        """Give an embedder, closed after the test."""
        embedder = self.make_embedder()
        yield embedder
        embedder.close()

    @pytest.fixture
    def pictures(self) -> list[Image.Image]:
        """Give five images of several sizes: smooth, noisy, wide, tall, small."""
        rng = np.random.default_rng(7)
        ramp = np.linspace(0, 255, 64, dtype=np.uint8)
        smooth = np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(90)), axis=2)
        shapes = [(300, 240, 3), (40, 200, 3), (200, 40, 3), (17, 13, 3)]
        noisy = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
        return [Image.fromarray(np.ascontiguousarray(array)) for array in (smooth, *noisy)]

    def same(self, some: Vectors, others: Vectors) -> bool:
        """Return whether two matrices of vectors are equal, within `tolerance`."""
        return some.shape == others.shape and bool(
            np.allclose(some, others, rtol=0, atol=self.tolerance)
        )

    def test_has_a_valid_name(self, embedder: Embedder) -> None:
        """The name cannot name a collection of vectors."""
        assert check_name(embedder.name) == embedder.name

    def test_has_a_stable_fingerprint(self, embedder: Embedder) -> None:
        """The fingerprint depends on chance, time or place: collections become unusable."""
        fingerprint = embedder.fingerprint
        other = self.make_embedder()
        assert fingerprint == embedder.fingerprint == other.fingerprint
        assert fingerprint.isascii()
        assert fingerprint.isprintable()
        assert 0 < len(fingerprint) <= 200
        other.close()

    def test_keeps_its_fingerprint(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """Use changes the fingerprint: a counter or a cache is part of it."""
        fingerprint = embedder.fingerprint
        embedder.embed(pictures)
        assert embedder.fingerprint == fingerprint

    def test_describes_itself(self, embedder: Embedder) -> None:
        """An index remembers another model, or cannot store the description as JSON."""
        description = embedder.describe()
        assert (description.name, description.fingerprint) == (embedder.name, embedder.fingerprint)
        assert (description.dimension, description.metric) == (embedder.dimension, embedder.metric)
        settings = dict(description.settings)
        assert json.loads(json.dumps(settings)) == settings
        other = self.make_embedder()
        assert other.describe() == description
        other.close()

    def test_gives_unit_vectors(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """Shape, type or length is not what stores expect: is `embed` overridden?"""
        vectors = embedder.embed(pictures)
        assert vectors.shape == (len(pictures), embedder.columns)
        if embedder.metric is Metric.HAMMING:
            assert embedder.dimension % 8 == 0
            assert vectors.dtype == np.uint8
        else:
            assert vectors.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=0, atol=1e-5)

    def test_tells_pictures_apart(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """Every image has the same vector: the input does not reach the model."""
        vectors = embedder.embed(pictures)
        assert len(np.unique(vectors, axis=0)) > 1

    def test_repeats_itself(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """The vector depends on chance, or on images that were embedded before."""
        first = embedder.embed(pictures)
        embedder.embed(pictures[::-1])
        assert np.array_equal(first, embedder.embed(pictures))

    def test_agrees_with_another_instance(
        self, embedder: Embedder, pictures: list[Image.Image]
    ) -> None:
        """Weights are drawn anew each time, under one fingerprint."""
        other = self.make_embedder()
        assert self.same(embedder.embed(pictures), other.embed(pictures))
        other.close()

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
    def test_ignores_the_batch(
        self, embedder: Embedder, pictures: list[Image.Image], batch_size: int
    ) -> None:
        """A vector depends on the images beside it, or rows come in another order."""
        singles = np.concatenate([embedder.embed(picture) for picture in pictures])
        assert self.same(embedder.embed(pictures, batch_size=batch_size), singles)
        backwards = embedder.embed(pictures[::-1], batch_size=batch_size)
        assert self.same(backwards[::-1], singles)

    def test_takes_iterators_and_nothing(
        self, embedder: Embedder, pictures: list[Image.Image]
    ) -> None:
        """`embed` takes lists only, or fails without images."""
        assert self.same(embedder.embed(iter(pictures)), embedder.embed(pictures))
        nothing = embedder.embed([])
        assert nothing.shape == (0, embedder.columns)
        assert nothing.dtype == embedder.embed(pictures[0]).dtype

    @pytest.mark.parametrize("kind", KINDS)
    def test_takes_every_kind_of_picture(
        self, embedder: Embedder, pictures: list[Image.Image], tmp_path: Path, kind: str
    ) -> None:
        """`prepare` does not open its argument with `onnxsearch.images.reading.open_image`."""
        picture = pictures[1]
        given = _as_kind(kind, picture, tmp_path)
        assert self.same(embedder.embed(given), embedder.embed(picture))

    @pytest.mark.parametrize("mode", MODES)
    def test_takes_every_mode(
        self, embedder: Embedder, pictures: list[Image.Image], mode: str
    ) -> None:
        """`prepare` takes only RGB; or it changes the image, which other embedders share."""
        picture = pictures[0].convert("L" if mode == "I;16" else mode)
        picture = picture.convert("I").convert("I;16") if mode == "I;16" else picture
        before = picture.mode, picture.size, picture.tobytes(), dict(picture.info)
        assert embedder.embed(picture).shape == (1, embedder.columns)
        assert before == (picture.mode, picture.size, picture.tobytes(), dict(picture.info))

    def test_refuses_what_is_no_picture(
        self, embedder: Embedder, pictures: list[Image.Image], tmp_path: Path
    ) -> None:
        """An error that is not an `ImageError` ends a run over many files."""
        png = _as_kind("bytes", pictures[1], tmp_path)
        assert isinstance(png, bytes)
        bad: list[ImageInput] = [b"", b"text", png[: len(png) // 2], tmp_path, tmp_path / "none"]
        for source in bad:
            with pytest.raises(ImageError):
                embedder.prepare(source)
            with pytest.raises(ImageError):
                embedder.embed([pictures[0], source])

    def test_keeps_the_limits_of_the_engine(self, embedder: Embedder) -> None:
        """Images that the engine refuses are opened, or drafts in another size than it says."""
        strict = ReadPolicy(max_pixels=123)
        assert replace(embedder.reading_for(strict), draft=None) == strict
        drafts = replace(strict, draft=7)
        assert embedder.reading_for(drafts) == drafts

    def test_works_in_threads(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """`prepare` or `run` keeps state that threads share."""
        for picture in pictures:
            picture.load()  # Pillow loads lazily, and that is not safe in threads
        expected = [embedder.embed(picture) for picture in pictures]
        start = Barrier(4)

        def work(_: int) -> list[Vectors]:
            start.wait()
            return [embedder.embed(picture) for picture in pictures]

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(work, range(4)):
                assert all(map(self.same, found, expected))

    def test_is_the_same_model_in_parallel(
        self, embedder: Embedder, pictures: list[Image.Image]
    ) -> None:
        """`parallel` returns an embedder to another space."""
        expected = embedder.embed(pictures)
        parallel = embedder.parallel(2)
        for name in ("name", "dimension", "metric", "fingerprint"):
            assert getattr(parallel, name) == getattr(embedder, name)
        assert self.same(parallel.embed(pictures), expected)
        assert self.same(embedder.embed(pictures), expected)
        if parallel is not embedder:
            parallel.close()

    def test_survives_pickle(self, embedder: Embedder, pictures: list[Image.Image]) -> None:
        """Other processes get another model, or none."""
        if not self.picklable:
            pytest.skip("the embedder does not promise to be picklable")
        copy: Embedder = pickle.loads(pickle.dumps(embedder))
        assert (copy.name, copy.fingerprint) == (embedder.name, embedder.fingerprint)
        assert self.same(copy.embed(pictures), embedder.embed(pictures))
        copy.close()

    def test_closes_twice(self) -> None:
        """Closing a closed embedder raises."""
        embedder = self.make_embedder()
        embedder.close()
        embedder.close()

    def test_has_a_name_for_messages(self, embedder: Embedder) -> None:
        """The repr, which error messages show, does not contain the model's name."""
        assert embedder.name in repr(embedder)


def _as_kind(kind: str, picture: Image.Image, folder: Path) -> ImageInput:
    path = folder / "picture.png"
    picture.save(path)
    match kind:
        case "str":
            return str(path)
        case "path":
            return path
        case "bytes":
            return path.read_bytes()
        case "file":
            return BytesIO(path.read_bytes())
        case "array":
            return np.asarray(picture)
        case _:
            return picture
