"""Any ONNX image model as an `Embedder`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.validation import check_name
from onnxsearch.embedders.base import Embedder, Tensor
from onnxsearch.embedders.bundled import DEFAULT_MODEL, bundled_model
from onnxsearch.embedders.onnx.external_data import model_name
from onnxsearch.embedders.onnx.fingerprint import fingerprint
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.parity import Verification, verify
from onnxsearch.embedders.onnx.pooling import Pooling, pool
from onnxsearch.embedders.onnx.profile_lookup import PROFILE_KEY, resolve_profile
from onnxsearch.embedders.onnx.session import (
    CPU,
    Provider,
    RuntimeOptions,
    Sessions,
    check_providers,
)
from onnxsearch.embedders.onnx.signature import ImageInputSpec, choose_output
from onnxsearch.embedders.onnx.text_embedder import OnnxTextEmbedder
from onnxsearch.errors import InvalidArgumentError, ModelOutputError
from onnxsearch.images.preprocessing.profile import PreprocessingProfile
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy, open_image
from onnxsearch.types import ImageInput, Vectors

_ONE_PROVIDER = (CPU,)
_FAIR_SHARE = RuntimeOptions()


class OnnxEmbedder(Embedder):
    """An ONNX model that turns a picture into a vector.

    The file says much about itself: the order of its axes, its number type, often
    the picture's size. It does not say how its pictures were prepared in training,
    and the wrong preparation gives wrong neighbours without any error: so a
    profile has to be named, unless the file carries one.

    Override `prepare` for preprocessing of your own, or `pool` for another way
    from the model's output to vectors. Such a class has fingerprints of its own, made
    with its name: change the name when you change what it does.

    Args:
        model: Path of an .onnx file, or its bytes. Pickling keeps the path, so the
            file must be there when the embedder is read back.
        name: What the engine calls the model. By default the file's name.
        profile: How pictures are prepared: a name such as `keras-caffe`, or a
            profile. By default the one in the model's metadata, or what the
            configuration of transformers, timm or OpenCLIP beside it says.
        output: The output that holds the vector. By default the only one that can,
            or one with a usual name.
        pooling: How to make a vector of tokens (`cls`, `mean`, `max`) or of a feature
            map (`avg`, `max`).
        providers: ONNX Runtime's execution providers, the preferred one first. Unlike
            ONNX Runtime, this never falls back to another one.
        threads: Cores for one run. By default all that this process may use.
        runtime: How ONNX Runtime uses the machine otherwise.
        reading: How picture files are opened.
        text: The model's text tower, so that pictures are found by words. Vectors of
            pictures stay the same, and so does the fingerprint.

    Attributes:
        profile: The `PreprocessingProfile` in use.
        output: Name of the model's output in use.

    Raises:
        ModelLoadError: There is no such file, ONNX Runtime refuses it, or it takes no
            pictures.
        ModelOutputError: Which output to take, or how to pool it, is unclear; or it is
            of another dimension than the text tower's.
        ProfileError: No profile is known, or it does not fit the model.
        ProviderError: A provider is not available.
        InvalidArgumentError: The name or the number of threads cannot be used.

    Example:
        >>> from onnxsearch import OnnxEmbedder
        >>> embedder = OnnxEmbedder("resnet50.onnx", profile="keras-caffe")
        >>> embedder.embed(["a.jpg", "b.jpg"]).shape
        (2, 2048)

        A pooling of one's own, here the generalised mean:

        >>> class GeM(OnnxEmbedder):
        ...     def pool(self, output):
        ...         return (output.clip(1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        profile: str | PreprocessingProfile | None = None,
        output: str | None = None,
        pooling: Pooling | None = None,
        providers: str | Sequence[Provider] = _ONE_PROVIDER,
        threads: int | None = None,
        runtime: RuntimeOptions = _FAIR_SHARE,
        reading: ReadPolicy = READ_STRICTLY,
        text: OnnxTextEmbedder | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise InvalidArgumentError(f"threads={threads}: expected at least 1")
        source = model if isinstance(model, bytes) else os.path.abspath(model)
        self._name = check_name(model_name(model) if name is None else name)
        self._reading = reading
        self._pooling: Pooling | None = pooling
        sessions = Sessions(source, check_providers(providers), runtime)
        self._model = ImageModel(sessions, threads or available_cores(), self._name)
        self.profile: PreprocessingProfile = resolve_profile(
            profile,
            self._model.metadata.get(PROFILE_KEY),
            self.input,
            None if isinstance(model, bytes) else model,
        )
        shapes = self._model.output_shapes(self.profile.size)
        self.output: str = choose_output(shapes, output, pooling)
        # Ones, since a subclass may divide by what it is given.
        pooled = self.pool(np.ones(shapes[self.output], np.float32))
        if pooled.ndim != 2:
            raise ModelOutputError(
                f"pool() made shape {pooled.shape} of output {self.output!r}: expected "
                "(pictures, dimension)"
            )
        self._dimension = int(pooled.shape[1])
        self._model = self._model.with_open_batch(self.profile.size, self.output)
        if text is not None:
            text.check_dimension(self._dimension, self.output, shapes)
        self._text = text

    @classmethod
    def bundled(
        cls,
        name: str = DEFAULT_MODEL,
        *,
        providers: str | Sequence[Provider] = _ONE_PROVIDER,
        threads: int | None = None,
        reading: ReadPolicy = READ_STRICTLY,
    ) -> OnnxEmbedder:
        """Return a model that comes with the package; nothing is downloaded.

        Args:
            name: `efficientnet-lite2`, or the smaller `efficientnet-lite0`.
            providers: See `OnnxEmbedder`.
            threads: See `OnnxEmbedder`.
            reading: See `OnnxEmbedder`.

        Raises:
            UnknownModelError: No model of that name comes with the package.
        """
        return cls(
            bundled_model(name),
            name=name,
            providers=providers,
            threads=threads,
            reading=reading,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def input(self) -> ImageInputSpec:
        """What the model is fed: layout, number type, and what sizes it fixes."""
        return self._model.input

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space: sha256 of all that makes a vector.

        That is the model's bytes, also those in other files, the profile, the output,
        its pooling and normalisation. The same on every machine.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        own = (OnnxEmbedder.prepare, OnnxEmbedder.run, OnnxEmbedder.pool)
        cls = type(self)
        return fingerprint(
            self._model.sessions.model,
            {
                "format": "1",
                "profile": self.profile.content(),
                "output": self.output,
                "pooling": self._pooling,
                "normalisation": "l2",
                "class": None if (cls.prepare, cls.run, cls.pool) == own else cls.__qualname__,
            },
        )

    def prepare(self, image: ImageInput) -> Tensor:
        """Return the tensor that the model is fed for `image`, without batch axis.

        Shape (3, height, width) or (height, width, 3), float32 or float16, as the
        model takes it.

        Raises:
            ImageError: The picture cannot be used.
        """
        picture = open_image(image, self._reading)
        return self.profile.apply(picture, self.input.layout, self.input.dtype)

    def run(self, batch: Tensor) -> Tensor:
        """Make of n tensors an array (n, dimension), not normalised.

        A model that fixes its batch is run as often as it takes, the last time filled
        up with zeros, unless `RuntimeOptions.open_batch` opens it.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        return self.pool(self._model.run(batch, self.output))

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in the space of the pictures.

        Raises:
            InvalidArgumentError: There is no text tower, or something is no text.
            EmbeddingError: The text tower gave NaN or zeros.
        """
        if self._text is None:
            raise InvalidArgumentError(
                f"model {self.name!r} knows no words: expected OnnxEmbedder(..., "
                "text=OnnxTextEmbedder(...)), with the text tower of the same model"
            )
        return self._text.embed(texts)

    def pool(self, output: Tensor) -> Tensor:
        """Make vectors (n, dimension) of the model's output (n, ...).

        Override it for a way of your own.

        Raises:
            ModelOutputError: The output needs pooling, and none or another was given.
        """
        return pool(output, self._pooling, self.input.layout)

    def verify(
        self, reference: str | os.PathLike[str], *, least_cosine: float = 0.9999
    ) -> Verification:
        """Compare with the vectors that the framework gave for the same pictures.

        Args:
            reference: What `np.savez("reference.npz", images=..., vectors=...)` wrote
                beside the framework: paths relative to it, or an array (n, height,
                width, 3) of uint8; and the vectors (n, dimension) of its model. With
                `tensors=...`, what that model was fed, the report says where they part.
            least_cosine: From which on vectors agree. The default is met by another
                resizing of the same kind, and missed by a wrong one or by wrong
                statistics. A model in 8 bits is further from its original than that.

        Raises:
            InvalidArgumentError: The reference cannot be read, or does not fit.
            ImageError: A picture cannot be used.

        Example:
            >>> print(OnnxEmbedder("resnet50.onnx", profile="keras-caffe").verify("reference.npz"))
            8 pictures: cosine with the reference at least 1.000000
            they agree
        """
        return verify(self, reference, least_cosine)

    def parallel(self, workers: int) -> OnnxEmbedder:
        """Return an embedder to the same space for `workers` threads at once.

        Its session shares out the cores: on a CPU that is the fastest way through many
        pictures, while a single one is fastest with all cores. The weights are then in
        memory twice. Other providers do their own scheduling, and get the embedder itself.
        """
        if workers < 1:
            raise InvalidArgumentError(f"workers={workers}: expected at least 1")
        threads = max(1, self._model.threads // workers)
        if threads == self._model.threads or self._model.sessions.providers != _ONE_PROVIDER:
            return self
        sibling = copy.copy(self)
        sibling._model = self._model.with_threads(threads)  # noqa: SLF001
        return sibling

    def close(self) -> None:
        """Release the model's memory, also that of `parallel` embedders.

        Using one of them again loads it anew.
        """
        self._model.sessions.close()
        if self._text is not None:
            self._text.close()
