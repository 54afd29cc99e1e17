"""Any ONNX image model as an `Embedder`."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self

import numpy as np

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.paths import absolute_path, target_path
from onnxsearch._internal.validation import (
    boolean,
    check_name,
    choice,
    instance,
    integer,
    number,
)
from onnxsearch.embedders.base import Tensor
from onnxsearch.embedders.bundled import DEFAULT_MODEL, PROFILE_REVISION, bundled_model
from onnxsearch.embedders.description import ModelDescription, ModelSource, class_path
from onnxsearch.embedders.hub.resolution import image_model
from onnxsearch.embedders.onnx.external_data import model_name
from onnxsearch.embedders.onnx.feature_mapped import FeatureMapped, check_regions
from onnxsearch.embedders.onnx.fingerprint import (
    fingerprint,
    model_digest,
    subclass_parameters,
)
from onnxsearch.embedders.onnx.first_run import model_input, probe_images
from onnxsearch.embedders.onnx.gathering import GatheredRuns
from onnxsearch.embedders.onnx.image_model import ImageModel
from onnxsearch.embedders.onnx.model_files import described_file
from onnxsearch.embedders.onnx.parity import Reference, Verification, compare
from onnxsearch.embedders.onnx.pooling import Pooling, check_pooling, pool, pooled_dimension
from onnxsearch.embedders.onnx.profile_lookup import (
    PROFILE_KEY,
    bundled_profile,
    resolve_profile,
    usual_layout,
)
from onnxsearch.embedders.onnx.provider_choice import start_sessions
from onnxsearch.embedders.onnx.providers import CPU, Provider, provider_name
from onnxsearch.embedders.onnx.session import RuntimeOptions
from onnxsearch.embedders.onnx.text_embedder import OnnxTextEmbedder
from onnxsearch.errors import InvalidArgumentError, ProfileError
from onnxsearch.images.preprocessing.presets import profile_names
from onnxsearch.images.preprocessing.profile import Layout, PreprocessingProfile
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy, open_image
from onnxsearch.types import ImageInput, JSONValue, Metric, Vectors

_ONE_PROVIDER = (CPU,)
_FAIR_SHARE = RuntimeOptions()

CLASS_NAME = "onnxsearch.OnnxEmbedder"
"""The name of the class below in descriptions, wherever in the package it is."""


class OnnxEmbedder(FeatureMapped):
    """An ONNX model that turns an image into a vector.

    The file says much about itself: the order of its axes, its number type, often
    the image's size. It does not say how images were prepared in training, and the
    wrong preparation gives wrong neighbours without any error: so a profile has to be
    named, unless the file carries one.

    Loading runs the model on two images of noise, alone and together, which takes as long
    as four images. This finds the shapes of its outputs, and models that look
    across the batch: dynamic quantisation, batch normalisation left in training mode.
    Those are run image by image, so that a vector never depends on the images beside it.

    Override `prepare` for preprocessing of your own, or `pool` for another way from the
    model's output to vectors. The fingerprint of such a class contains the class's name
    and its `parameters`: change the name when you change what the code does.

    Args:
        model: Path of an .onnx file, or its bytes. Pickling keeps the path, so the
            file must exist when the embedder is unpickled.
        name: The model's name in the engine. By default the file's name.
        profile: How images are prepared: a name such as `keras-caffe`, or a profile. By
            default the profile in the model's metadata, or that of the configuration of
            transformers, timm or OpenCLIP beside it.
        output: The output that holds the vector. By default the only output that can,
            or one with a usual name.
        pooling: How to make a vector of tokens (`cls`, `mean`, `max`) or of a feature
            map (`avg`, `max`).
        layout: The order of the input's axes, `NCHW` or `NHWC`, where the graph leaves
            it open. By default the names of the axes and of the input decide, then the
            profile.
        metric: How distances are measured. By default as the class says, `Metric.L2`.
        providers: ONNX Runtime's execution providers, the preferred provider first; or
            `auto`, which is CUDA where it starts, else the CPU. This is decided once, and
            the attribute `providers` names the choice: unlike ONNX Runtime, an embedder
            never falls back to another provider.
        device_ids: The GPUs to use, by number, such as [0, 1]. Each gets a session of its
            own, and each batch goes to the GPU with the fewest batches on it. By default
            the first one.
        threads: Cores for one run. By default all that this process may use.
        runtime: How ONNX Runtime uses the machine otherwise.
        reading: How image files are opened.
        text: The model's text model, so that texts find images. Vectors of images stay
            the same, and so does the fingerprint.
        regions: Also give vectors of the parts of an image, in the same run of the model, so that
            `search(model="NAME.regions")` finds images in which the query is a part. True takes
            the feature map before the last reduction of its resolution; a name takes that inner
            tensor, (n, channels, height, width). Needs the extra `onnx`.

    Raises:
        ModelLoadError: There is no such file, ONNX Runtime refuses it, it does not take
            images, or the order of its axes is unclear.
        ModelOutputError: Which output to take, or how to pool it, is unclear; or it has
            another dimension than the text model's.
        ProfileError: No profile is known, or it does not fit the model.
        ProviderError: A provider is not available, or does not start.
        InvalidArgumentError: An argument is of another type or range.

    Example:
        >>> from onnxsearch import OnnxEmbedder
        >>> embedder = OnnxEmbedder("resnet50.onnx", profile="keras-caffe")
        >>> embedder.embed(["a.jpg", "b.jpg"]).shape
        (2, 2048)

        A subclass with its own pooling, here the generalised mean:

        >>> class GeM(OnnxEmbedder):
        ...     def pool(self, output):
        ...         return (output.clip(1e-6) ** 3).mean((2, 3)) ** (1 / 3)
    """

    # Annotated here, so that `parameters` knows which attributes are not a subclass's.
    _name: str
    _reading: ReadPolicy
    _pooling: Pooling | None
    _model: ImageModel
    _profile: PreprocessingProfile
    _output: str
    _dimension: int
    _text: OnnxTextEmbedder | None

    source: ModelSource | None
    """Where the model comes from, such as the package; None for a file of the user."""

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        profile: str | PreprocessingProfile | None = None,
        output: str | None = None,
        pooling: Pooling | None = None,
        layout: Layout | None = None,
        metric: Metric | None = None,
        providers: str | Sequence[Provider] = _ONE_PROVIDER,
        device_ids: Sequence[int] | None = None,
        threads: int | None = None,
        runtime: RuntimeOptions = _FAIR_SHARE,
        reading: ReadPolicy = READ_STRICTLY,
        text: OnnxTextEmbedder | None = None,
        regions: bool | str = False,
    ) -> None:
        wanted = check_regions(regions)
        cores = available_cores() if threads is None else integer("threads", threads, least=1)
        source = model if isinstance(model, bytes) else absolute_path(model, "model")
        path = None if isinstance(source, bytes) else source
        self._name = check_name(model_name(source) if name is None else name)
        self._reading = instance("reading", reading, ReadPolicy, "a ReadPolicy")
        self._pooling = check_pooling(pooling)
        self._text = _checked_text(text)
        self.source = None
        if metric is not None:
            self.metric = choice("metric", metric, tuple(Metric))
        options = instance("runtime", runtime, RuntimeOptions, "RuntimeOptions")
        sessions = start_sessions(source, providers, options, cores, device_ids)
        carried = sessions.metadata(cores).get(PROFILE_KEY)
        self._model = ImageModel(
            sessions, cores, self._name, layout, usual_layout(profile, carried, path)
        )
        self._profile = resolve_profile(profile, carried, self.input, path)
        self._profile.check_reading(reading)
        probes = probe_images(self._profile, self.input)
        first = self._model.first_run(probes[0])
        self._output = first.choose(output, pooling)
        values = first.image_values(self._output)
        # Ones, since a subclass may divide by what it is given.
        pooled = self.pool(np.ones(values.shape, np.float32))
        self._dimension = pooled_dimension(pooled, self._output, self.metric)
        if self._text is not None:
            self._text.check_dimension(self._dimension, self._output, first.listed())
        self._model = self._model.batched_safely(probes, values, self._output)
        self._expose(wanted, probes)

    @classmethod
    def bundled(
        cls,
        name: str = DEFAULT_MODEL,
        *,
        embedder_name: str | None = None,
        profile: str | PreprocessingProfile | None = None,
        providers: str | Sequence[Provider] = _ONE_PROVIDER,
        device_ids: Sequence[int] | None = None,
        threads: int | None = None,
        reading: ReadPolicy = READ_STRICTLY,
        regions: bool | str = False,
    ) -> OnnxEmbedder:
        """Return a model that comes with the package; nothing is downloaded.

        Args:
            name: `efficientnet-lite2`, or the smaller `efficientnet-lite0`.
            embedder_name: The model's name in the engine. By default `name`.
            profile: See `OnnxEmbedder`. By default the profile that the model was trained
                with, and the resampler `reducing`, so that large JPEGs are decoded at a
                reduced size. `profile=name` decodes them at full size; these vectors belong
                to another index.
            providers: See `OnnxEmbedder`.
            device_ids: See `OnnxEmbedder`.
            threads: See `OnnxEmbedder`.
            reading: See `OnnxEmbedder`.
            regions: See `OnnxEmbedder`.

        Raises:
            UnknownModelError: No model of that name comes with the package.
            MissingExtraError: `regions` is wanted, and the package onnx is not installed.
        """
        if embedder_name is not None:
            instance("embedder_name", embedder_name, str, "a name for the engine")
        embedder = cls(
            bundled_model(name),
            name=name if embedder_name is None else embedder_name,
            profile=bundled_profile(name) if profile is None else profile,
            providers=providers,
            device_ids=device_ids,
            threads=threads,
            reading=reading,
            regions=regions,
        )
        revision = PROFILE_REVISION if profile is None else None
        embedder.source = ModelSource("bundled", name, revision)
        return embedder

    @classmethod
    def hub(
        cls,
        name: str,
        revision: str | None = None,
        file: str | None = None,
        *,
        embedder_name: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        profile: str | PreprocessingProfile | None = None,
        output: str | None = None,
        pooling: Pooling | None = None,
        text: bool = True,
        providers: str | Sequence[Provider] = _ONE_PROVIDER,
        device_ids: Sequence[int] | None = None,
        threads: int | None = None,
        runtime: RuntimeOptions = _FAIR_SHARE,
        reading: ReadPolicy = READ_STRICTLY,
        regions: bool | str = False,
    ) -> Self:
        """Return a model that `onnxsearch models get` has downloaded; no connection is opened.

        Every file is compared with the lock file first, so that a changed byte is an error
        and not another vector. The digests are those of the fingerprint, which is
        therefore not computed again.

        Args:
            name: A name of the catalogue, such as `siglip2-base`, which `onnxsearch models
                list` shows; or a repository, owner/name.
            revision: The commit, 40 hex digits. Needed for a repository. By default, for a
                name, the commit that was downloaded by it.
            file: The model's file in the repository. Needed for a repository. By default,
                for a name, the file that the catalogue holds.
            embedder_name: The model's name in the engine. By default `name`; for other
                files than the catalogue's, repository and file.
            cache: The folder of downloaded models. By default the one that the environment
                variable `ONNXSEARCH_HUB` names, or the user's cache folder.
            profile: See `OnnxEmbedder`. By default what the catalogue or the configuration
                files of the repository say.
            output: See `OnnxEmbedder`.
            pooling: See `OnnxEmbedder`. By default the catalogue's.
            text: Whether the text tower is loaded as well, if the catalogue has one and it
                is in the cache. `onnxsearch models get` downloads it.
            providers: See `OnnxEmbedder`.
            device_ids: See `OnnxEmbedder`.
            threads: See `OnnxEmbedder`.
            runtime: See `OnnxEmbedder`.
            reading: See `OnnxEmbedder`.
            regions: See `OnnxEmbedder`.

        Raises:
            ModelNotDownloadedError: It is not in the cache; the message holds the command.
            ModelChecksumError: A file does not have the locked bytes.
            UnknownModelError: The catalogue has no such name.
            ModelError: The model cannot be used, as with `OnnxEmbedder`.
            MissingExtraError: It has a text tower, and the extra `text` is not installed; or
                `regions` is wanted, and the extra `onnx` is not.
            InvalidArgumentError: An argument is of another type or form.

        Example:
            >>> embedder = OnnxEmbedder.hub("dinov2-small")
            >>> embedder.source.name
            'onnx-community/dinov2-small'
        """
        boolean("text", text)
        check_regions(regions)
        if embedder_name is not None:
            instance("embedder_name", embedder_name, str, "a name for the engine")
        found = image_model(name, revision, file, cache)
        tower = None
        if text and found.has_text:
            tower = OnnxTextEmbedder.hub(
                name,
                found.source.revision,
                cache=cache,
                providers=providers,
                device_ids=device_ids,
                threads=threads,
            )
        embedder = cls(
            found.path,
            name=found.name if embedder_name is None else embedder_name,
            profile=found.profile if profile is None else profile,
            output=output,
            pooling=found.pooling if pooling is None else pooling,
            providers=providers,
            device_ids=device_ids,
            threads=threads,
            runtime=runtime,
            reading=reading,
            text=tower,
            regions=regions,
        )
        embedder.source, embedder._digest = found.source, found.digest
        return embedder

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of the execution providers in use, the preferred one first.

        They are not part of the fingerprint: vectors of a GPU and of a CPU differ by
        rounding only, and an index that was filled on one is searched on the other.
        """
        return tuple(map(provider_name, self._model.sessions.providers))

    @property
    def fingerprint(self) -> str:
        """Identifies the vector space: sha256 of everything that makes a vector.

        It covers the model's bytes, also those in other files, the profile, the output,
        its pooling and normalisation, drafts of the `ReadPolicy`, and `parameters`. It is
        the same on every machine.
        """
        settings: dict[str, JSONValue] = {
            "format": "1",
            "profile": self._profile.content(),
            "output": self._output,
            "pooling": self._pooling,
            "normalisation": "l2",
            "class": self._own_class,
        }
        # Younger than the format: absent where they have their default.
        if self._reading.draft is not None:
            settings["draft"] = self._reading.draft
        if self._own_class is not None and (parameters := self.parameters()):
            settings["parameters"] = dict(parameters)
        return fingerprint(self._digest, settings)

    def parameters(self) -> Mapping[str, JSONValue]:
        """Return the settings of a subclass that change its vectors, by name.

        They are part of the fingerprint. The default returns every attribute of class and
        instance that the subclass adds, such as `p = 3.0`, if it is a number, a text, an
        array, or a list or dictionary of these. Override it where another value counts,
        or where an attribute, such as a counter, does not change vectors.
        """
        return subclass_parameters(self, OnnxEmbedder)

    def describe(self) -> ModelDescription:
        cls, draft = type(self), self._reading.draft
        settings: dict[str, JSONValue] = {
            "profile": json.loads(self._profile.to_json()),
            "output": self._output,
            "pooling": self._pooling,
            "layout": self.input.layout,
            **self._region_settings(),
        }
        return ModelDescription(
            name=self.name,
            class_name=CLASS_NAME if cls is OnnxEmbedder else class_path(cls),
            dimension=self.dimension,
            metric=self.metric,
            fingerprint=self.fingerprint,
            file=described_file(self._model.sessions.model, self._digest, self.source),
            source=self.source,
            settings=settings if draft is None else {**settings, "draft": draft},
            text=None if self._text is None else self._text.describe(),
        )

    def check_reading(self, policy: ReadPolicy) -> None:
        self._profile.check_reading(policy)

    def reading_for(self, policy: ReadPolicy) -> ReadPolicy:
        return self._profile.reading_for(policy)

    def prepare(self, image: ImageInput) -> Tensor:
        """Return the model's input tensor for `image`, without batch axis.

        Shape (3, height, width) or (height, width, 3), and float32, float16 or uint8, as
        the model takes it.

        Raises:
            ImageError: The image cannot be used.
        """
        opened = open_image(image, self.reading_for(self._reading))
        return model_input(self._profile, opened, self.input)

    def run(self, batch: Tensor) -> Tensor:
        """Turn n tensors into an array (n, dimension), not normalised.

        A model that fixes its batch is run as often as needed, the last time filled up
        with copies of the last image, unless `RuntimeOptions.open_batch` opens it. A
        model that looks across the batch is run image by image.

        Raises:
            EmbeddingError: ONNX Runtime failed.
        """
        (values,) = self._values(batch, [self._output])
        return self.pool(values)

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        """Return the vectors of `texts`, one a row, in the space of the images.

        Raises:
            InvalidArgumentError: There is no text model, or an argument is not a text.
            EmbeddingError: The text model gave NaN or zeros.
        """
        if self._text is None:
            raise InvalidArgumentError(
                f"model {self.name!r} takes no text: expected OnnxEmbedder(..., "
                "text=OnnxTextEmbedder(...)), with the text model that belongs to it, or a model "
                "such as clip-vit-b32 of `onnxsearch models get`"
            )
        return self._text.embed(texts)

    def pool(self, output: Tensor) -> Tensor:
        """Turn the model's output (n, ...) into vectors (n, dimension).

        Override it for another pooling.

        Raises:
            ModelOutputError: The output needs pooling, and none or another was given.
        """
        return pool(output, self._pooling, self.input.layout)

    def verify(
        self, reference: str | os.PathLike[str], *, least_cosine: float = 0.9999
    ) -> Verification:
        """Compare with the vectors that the framework gave for the same images.

        Args:
            reference: What `np.savez("reference.npz", images=..., vectors=...)` wrote
                with the framework: paths relative to it, or an array (n, height, width,
                3) of uint8; and the vectors (n, dimension) of its model. With
                `tensors=...`, the inputs of that model, the report says where the two
                differ.
            least_cosine: The cosine from which on vectors agree, -1 to 1. Another resizing
                of the same kind reaches the default; a wrong resizing and wrong statistics
                do not. A model in 8 bits differs more from its original.

        Raises:
            InvalidArgumentError: The reference cannot be read, or does not fit.
            ImageError: An image cannot be used.

        Example:
            >>> print(OnnxEmbedder("resnet50.onnx", profile="keras-caffe").verify("reference.npz"))
            8 images: cosine with the reference at least 1.000000
            they agree
        """
        least_cosine = number("least_cosine", least_cosine, least=-1, most=1)
        shape = self.input.shape(self._profile.size)
        expected = Reference.read(target_path(reference, "reference"))
        return compare(self, shape, self._under_other_profiles(), expected, least_cosine)

    def parallel(self, workers: int) -> OnnxEmbedder:
        """Return an embedder to the same space for `workers` threads at once.

        Its session divides the cores among them: on a CPU that is the fastest way through
        many images, while a single image is fastest with all cores. The weights are then
        in memory twice. A GPU gets the batches of all threads that wait for it as one, so
        that some threads decode while it computes; see `GatheredRuns`.
        """
        workers = integer("workers", workers, least=1)
        sessions, threads = self._model.sessions, max(1, self._model.threads // workers)
        if not sessions.on_cpu and workers > 1 and self._model.takes_any_batch:
            devices = len(sessions.devices) or 1
            return self._with(_gathered=GatheredRuns(self._model.run_several, devices))
        if threads == self._model.threads or sessions.providers != _ONE_PROVIDER:
            return self
        return self._with(_model=self._model.with_threads(threads))

    def close(self) -> None:
        """Release the model's memory, also that of `parallel` embedders.

        The next use of any of them loads the model again.
        """
        self._model.sessions.close()
        if self._text is not None:
            self._text.close()

    @cached_property
    def _digest(self) -> bytes:
        return model_digest(self._model.sessions.model)

    @property
    def _own_class(self) -> str | None:
        """Name of the class, if it makes vectors in another way than this one."""
        names = ("reading_for", "prepare", "run", "pool", "embed", "embed_tensors")
        cls = type(self)
        same = all(getattr(cls, name) == getattr(OnnxEmbedder, name) for name in names)
        return None if same else cls.__qualname__

    def _under_other_profiles(self) -> Iterator[tuple[str, OnnxEmbedder]]:
        """Yield this embedder under each named profile that fits the model."""
        for name in profile_names():
            try:
                profile = resolve_profile(name, None, self.input)
            except ProfileError:
                continue
            yield name, self._with(_profile=profile)

    def _with(self, **attributes: object) -> Self:
        """Return a shallow copy with other attributes."""
        sibling = copy.copy(self)
        vars(sibling).update(attributes)
        return sibling


def _checked_text(text: OnnxTextEmbedder | None) -> OnnxTextEmbedder | None:
    expected = "an OnnxTextEmbedder, the text model that belongs to the image model"
    return None if text is None else instance("text", text, OnnxTextEmbedder, expected)
