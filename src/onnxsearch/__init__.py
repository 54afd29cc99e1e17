"""Find similar images: any ONNX model, Milvus or an embedded store, one facade.

Example:
    >>> from onnxsearch import SearchEngine
    >>> with SearchEngine.open("album") as engine:
    ...     report = engine.index("~/Pictures")
    ...     for hit in engine.search("query.jpg", limit=5):
    ...         print(f"{hit.distance:.3f}  {hit.uri}")

Names are imported when they are first used, so that `import onnxsearch` itself
loads neither ONNX Runtime nor the clients of Milvus and Redis.
Each name stands once in this file, under `if TYPE_CHECKING`; see `_public_names`.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pkgutil import get_data
from typing import TYPE_CHECKING

from onnxsearch._internal.version import VERSION

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink as ProgressSink
    from onnxsearch._internal.tables import Tabular as Tabular
    from onnxsearch._internal.telemetry.timings import Timing as Timing
    from onnxsearch.album_map.album_map import AlbumMap as AlbumMap
    from onnxsearch.async_engine import (
        AsyncSearchEngine as AsyncSearchEngine,
        AsyncStats as AsyncStats,
        Opening as Opening,
    )
    from onnxsearch.augmentation.building import AugmentReport as AugmentReport
    from onnxsearch.catalog.catalog import NewImage as NewImage
    from onnxsearch.catalog.index_info import (
        AugmentedInfo as AugmentedInfo,
        IndexInfo as IndexInfo,
        ModelInfo as ModelInfo,
    )
    from onnxsearch.catalog.index_stats import ModelStats as ModelStats, Stats as Stats
    from onnxsearch.catalog.integrity_report import (
        Defect as Defect,
        Finding as Finding,
        VerifyReport as VerifyReport,
    )
    from onnxsearch.catalog.listing import Records as Records
    from onnxsearch.catalog.transfer import (
        ImageSource as ImageSource,
        ImageTarget as ImageTarget,
        TransferReport as TransferReport,
    )
    from onnxsearch.classification.calibration import Calibration as Calibration
    from onnxsearch.classification.classification import (
        Classification as Classification,
        Prediction as Prediction,
    )
    from onnxsearch.classification.classifier import (
        Classifier as Classifier,
        NearestNeighbours as NearestNeighbours,
        Scorer as Scorer,
    )
    from onnxsearch.classification.examples import Label as Label
    from onnxsearch.classification.linear_probe import LinearProbe as LinearProbe
    from onnxsearch.classification.prompts import Words as Words
    from onnxsearch.embedders.base import (
        Embedder as Embedder,
        Tensor as Tensor,
        TextQueries as TextQueries,
    )
    from onnxsearch.embedders.description import (
        ModelDescription as ModelDescription,
        ModelFile as ModelFile,
        ModelSource as ModelSource,
        TextModelDescription as TextModelDescription,
    )
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder as OnnxEmbedder
    from onnxsearch.embedders.onnx.inspection import (
        ModelReport as ModelReport,
        NodeReport as NodeReport,
        annotate_model as annotate_model,
        inspect_model as inspect_model,
    )
    from onnxsearch.embedders.onnx.parity import Verification as Verification
    from onnxsearch.embedders.onnx.pooling import Pooling as Pooling
    from onnxsearch.embedders.onnx.providers import Provider as Provider
    from onnxsearch.embedders.onnx.session import RuntimeOptions as RuntimeOptions
    from onnxsearch.embedders.onnx.signature import ImageInputSpec as ImageInputSpec
    from onnxsearch.embedders.onnx.suggestion import (
        MissingArgument as MissingArgument,
        ModelKind as ModelKind,
    )
    from onnxsearch.embedders.onnx.text_embedder import OnnxTextEmbedder as OnnxTextEmbedder
    from onnxsearch.embedders.onnx.tokenization import TextProfile as TextProfile
    from onnxsearch.embedders.regions import RegionModel as RegionModel
    from onnxsearch.engine import SearchEngine as SearchEngine
    from onnxsearch.errors import (
        BrokenImageError as BrokenImageError,
        ClosedError as ClosedError,
        CollectionNotFoundError as CollectionNotFoundError,
        DownloadError as DownloadError,
        EmbeddingError as EmbeddingError,
        EmptySourceError as EmptySourceError,
        ImageError as ImageError,
        ImageNotFoundError as ImageNotFoundError,
        ImageTooLargeError as ImageTooLargeError,
        InvalidArgumentError as InvalidArgumentError,
        MissingExtraError as MissingExtraError,
        ModelChecksumError as ModelChecksumError,
        ModelError as ModelError,
        ModelLoadError as ModelLoadError,
        ModelNotDownloadedError as ModelNotDownloadedError,
        ModelNotFoundError as ModelNotFoundError,
        ModelOutputError as ModelOutputError,
        OnnxSearchError as OnnxSearchError,
        PluginError as PluginError,
        ProfileError as ProfileError,
        ProviderError as ProviderError,
        SpaceMismatchError as SpaceMismatchError,
        StoreCorruptError as StoreCorruptError,
        StoreError as StoreError,
        StoreLockedError as StoreLockedError,
        StoreMismatchError as StoreMismatchError,
        StoreUnavailableError as StoreUnavailableError,
        UnknownModelError as UnknownModelError,
        UnsupportedImageError as UnsupportedImageError,
    )
    from onnxsearch.evaluation.advice import (
        Advice as Advice,
        Setting as Setting,
        TriedSetting as TriedSetting,
    )
    from onnxsearch.evaluation.bootstrap import Estimate as Estimate
    from onnxsearch.evaluation.comparison import (
        Agreement as Agreement,
        Answer as Answer,
        Comparison as Comparison,
    )
    from onnxsearch.evaluation.confusion import Confusion as Confusion
    from onnxsearch.evaluation.evaluation import (
        Evaluation as Evaluation,
        QueryTable as QueryTable,
        Scores as Scores,
    )
    from onnxsearch.evaluation.ground_truth import Labels as Labels
    from onnxsearch.evaluation.index_tuning import (
        Trial as Trial,
        Tuning as Tuning,
    )
    from onnxsearch.evaluation.paired_difference import PairedDifference as PairedDifference
    from onnxsearch.filters import (
        F as F,
        Filter as Filter,
        FilterDict as FilterDict,
        Scalar as Scalar,
    )
    from onnxsearch.images.conversion import DecodePolicy as DecodePolicy
    from onnxsearch.images.exif import exif as exif
    from onnxsearch.images.preprocessing.profile import (
        Layout as Layout,
        PreprocessingProfile as PreprocessingProfile,
    )
    from onnxsearch.images.preprocessing.steps import Step as Step
    from onnxsearch.images.reading import (
        ReadPolicy as ReadPolicy,
        open_image as open_image,
    )
    from onnxsearch.images.resize import Size as Size
    from onnxsearch.indexing.change_detection import MetadataSource as MetadataSource
    from onnxsearch.indexing.file_metadata import ItemMetadata as ItemMetadata
    from onnxsearch.indexing.sources.archive import Archive as Archive
    from onnxsearch.indexing.sources.base import Source as Source
    from onnxsearch.indexing.sources.folder import Folder as Folder
    from onnxsearch.indexing.sources.remote import Remote as Remote
    from onnxsearch.indexing.sources.remote_policy import RemotePolicy as RemotePolicy
    from onnxsearch.indexing.sources.table import Table as Table
    from onnxsearch.indexing.sources.table_rows import ArrowStream as ArrowStream
    from onnxsearch.indexing.sources.video import Video as Video
    from onnxsearch.metadata.base import (
        Cell as Cell,
        DurabilityWarning as DurabilityWarning,
        MetadataStore as MetadataStore,
    )
    from onnxsearch.metadata.capabilities import (
        KeywordSearch as KeywordSearch,
        RankedKey as RankedKey,
        WordReader as WordReader,
    )
    from onnxsearch.metadata.memory import InMemoryMetadataStore as InMemoryMetadataStore
    from onnxsearch.metadata.redis.store import RedisMetadataStore as RedisMetadataStore
    from onnxsearch.metadata.sqlite import SQLiteMetadataStore as SQLiteMetadataStore
    from onnxsearch.search.duplicate_groups import (
        DuplicateGroups as DuplicateGroups,
        KeepSuggestions as KeepSuggestions,
    )
    from onnxsearch.search.duplicate_threshold import Threshold as Threshold
    from onnxsearch.search.expansion import AlphaQE as AlphaQE
    from onnxsearch.search.fusion import (
        Fusion as Fusion,
        FusionChoice as FusionChoice,
        RankFusion as RankFusion,
        ScoreFusion as ScoreFusion,
    )
    from onnxsearch.search.keep_suggestion import (
        DuplicateImage as DuplicateImage,
        KeepSuggestion as KeepSuggestion,
    )
    from onnxsearch.search.keywords import Keywords as Keywords
    from onnxsearch.search.query import (
        Query as Query,
        QueryInput as QueryInput,
    )
    from onnxsearch.search.rerank import (
        Rerank as Rerank,
        RerankChoice as RerankChoice,
        RerankFunction as RerankFunction,
    )
    from onnxsearch.search.results import SearchResults as SearchResults
    from onnxsearch.types import (
        Hit as Hit,
        ImageInput as ImageInput,
        IndexReport as IndexReport,
        Item as Item,
        JSONValue as JSONValue,
        Metadata as Metadata,
        MetadataInput as MetadataInput,
        MetadataValue as MetadataValue,
        Metric as Metric,
        OpenImage as OpenImage,
        Outcome as Outcome,
        Progress as Progress,
        Record as Record,
        Region as Region,
        Status as Status,
    )
    from onnxsearch.vectors.base import (
        CollectionSpec as CollectionSpec,
        Match as Match,
        Vectors as Vectors,
        VectorStore as VectorStore,
    )
    from onnxsearch.vectors.capabilities import (
        Candidates as Candidates,
        CandidateSearch as CandidateSearch,
        LateInteraction as LateInteraction,
        Parts as Parts,
        RangeJoin as RangeJoin,
        Tunable as Tunable,
        Variant as Variant,
    )
    from onnxsearch.vectors.local import LocalVectorStore as LocalVectorStore
    from onnxsearch.vectors.memory import InMemoryVectorStore as InMemoryVectorStore
    from onnxsearch.vectors.milvus.connection import TLSFiles as TLSFiles
    from onnxsearch.vectors.milvus.index import (
        AutoIndex as AutoIndex,
        FlatIndex as FlatIndex,
        HNSWIndex as HNSWIndex,
        HNSWSQIndex as HNSWSQIndex,
        IVFFlatIndex as IVFFlatIndex,
        IVFSQ8Index as IVFSQ8Index,
        MilvusIndex as MilvusIndex,
        SCANNIndex as SCANNIndex,
    )
    from onnxsearch.vectors.milvus.search import Consistency as Consistency
    from onnxsearch.vectors.milvus.store import MilvusVectorStore as MilvusVectorStore


__version__ = VERSION


def _public_names() -> dict[str, str]:
    """Return the module of each public name, as this file tells type checkers."""
    # Read from the source, so that no second list can disagree; it takes half a millisecond.
    source = get_data(__name__, "__init__.py") or b""
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    return {
        alias.name: str(statement.module)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


_MODULES = _public_names()

__all__ = [*_MODULES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
