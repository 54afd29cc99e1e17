"""Find similar images: any ONNX model, Milvus or an embedded store, one facade.

Example:
    >>> from onnxsearch import SearchEngine
    >>> with SearchEngine.open("album") as engine:
    ...     report = engine.index("~/Pictures")
    ...     for hit in engine.search("query.jpg", limit=5):
    ...         print(f"{hit.distance:.3f}  {hit.uri}")

Names are imported when they are first used, so that `import onnxsearch` itself
loads neither ONNX Runtime nor the clients of Milvus and Redis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsearch._internal.progress import ProgressSink
    from onnxsearch.catalog.integrity_report import Defect, Finding, VerifyReport
    from onnxsearch.catalog.transfer import TransferReport
    from onnxsearch.embedders.base import Embedder, Tensor, TextQueries
    from onnxsearch.embedders.onnx.embedder import OnnxEmbedder
    from onnxsearch.embedders.onnx.inspection import ModelReport, annotate_model, inspect_model
    from onnxsearch.embedders.onnx.parity import Verification
    from onnxsearch.embedders.onnx.pooling import Pooling
    from onnxsearch.embedders.onnx.session import Provider, RuntimeOptions
    from onnxsearch.embedders.onnx.text_embedder import OnnxTextEmbedder
    from onnxsearch.embedders.onnx.tokenization import TextProfile
    from onnxsearch.engine import SearchEngine
    from onnxsearch.errors import (
        BrokenImageError,
        ClosedError,
        CollectionNotFoundError,
        EmbeddingError,
        EmptySourceError,
        ImageError,
        ImageNotFoundError,
        ImageTooLargeError,
        InvalidArgumentError,
        MissingExtraError,
        ModelError,
        ModelLoadError,
        ModelOutputError,
        OnnxSearchError,
        ProfileError,
        ProviderError,
        SpaceMismatchError,
        StoreCorruptError,
        StoreError,
        StoreLockedError,
        StoreUnavailableError,
        UnknownModelError,
        UnsupportedImageError,
    )
    from onnxsearch.evaluation.bootstrap import Estimate
    from onnxsearch.evaluation.comparison import Agreement, Answer, Comparison
    from onnxsearch.evaluation.evaluator import Evaluation, Scores
    from onnxsearch.evaluation.ground_truth import Labels
    from onnxsearch.evaluation.index_tuning import Trial, Tuning
    from onnxsearch.filters import F, Filter
    from onnxsearch.images.conversion import DecodePolicy
    from onnxsearch.images.preprocessing.profile import PreprocessingProfile
    from onnxsearch.images.preprocessing.steps import Step
    from onnxsearch.images.reading import ReadPolicy, open_image
    from onnxsearch.indexing.change_detection import MetadataSource
    from onnxsearch.metadata.base import Cell, DurabilityWarning, MetadataStore
    from onnxsearch.metadata.memory import InMemoryMetadataStore
    from onnxsearch.metadata.redis.store import RedisMetadataStore
    from onnxsearch.metadata.sqlite import SQLiteMetadataStore
    from onnxsearch.search.fusion import Fusion, FusionChoice, RankFusion, ScoreFusion
    from onnxsearch.search.near_duplicates import Threshold
    from onnxsearch.search.query import Query, QueryInput
    from onnxsearch.search.results import SearchResults
    from onnxsearch.types import (
        Hit,
        ImageInput,
        IndexReport,
        JSONValue,
        Metadata,
        Metric,
        Outcome,
        Progress,
        Record,
        Status,
    )
    from onnxsearch.vectors.base import CollectionSpec, Match, Vectors, VectorStore
    from onnxsearch.vectors.capabilities import Tunable, Variant
    from onnxsearch.vectors.local import LocalVectorStore
    from onnxsearch.vectors.memory import InMemoryVectorStore
    from onnxsearch.vectors.milvus.connection import TLSFiles
    from onnxsearch.vectors.milvus.index import (
        AutoIndex,
        FlatIndex,
        HNSWIndex,
        HNSWSQIndex,
        IVFFlatIndex,
        IVFSQ8Index,
        MilvusIndex,
        SCANNIndex,
    )
    from onnxsearch.vectors.milvus.search import Consistency
    from onnxsearch.vectors.milvus.store import MilvusVectorStore

__version__ = "0.1.0"

__all__ = [
    "Agreement",
    "Answer",
    "AutoIndex",
    "BrokenImageError",
    "Cell",
    "ClosedError",
    "CollectionNotFoundError",
    "CollectionSpec",
    "Comparison",
    "Consistency",
    "DecodePolicy",
    "Defect",
    "DurabilityWarning",
    "Embedder",
    "EmbeddingError",
    "EmptySourceError",
    "Estimate",
    "Evaluation",
    "F",
    "Filter",
    "Finding",
    "FlatIndex",
    "Fusion",
    "FusionChoice",
    "HNSWIndex",
    "HNSWSQIndex",
    "Hit",
    "IVFFlatIndex",
    "IVFSQ8Index",
    "ImageError",
    "ImageInput",
    "ImageNotFoundError",
    "ImageTooLargeError",
    "InMemoryMetadataStore",
    "InMemoryVectorStore",
    "IndexReport",
    "InvalidArgumentError",
    "JSONValue",
    "Labels",
    "LocalVectorStore",
    "Match",
    "Metadata",
    "MetadataSource",
    "MetadataStore",
    "Metric",
    "MilvusIndex",
    "MilvusVectorStore",
    "MissingExtraError",
    "ModelError",
    "ModelLoadError",
    "ModelOutputError",
    "ModelReport",
    "OnnxEmbedder",
    "OnnxSearchError",
    "OnnxTextEmbedder",
    "Outcome",
    "Pooling",
    "PreprocessingProfile",
    "ProfileError",
    "Progress",
    "ProgressSink",
    "Provider",
    "ProviderError",
    "Query",
    "QueryInput",
    "RankFusion",
    "ReadPolicy",
    "Record",
    "RedisMetadataStore",
    "RuntimeOptions",
    "SCANNIndex",
    "SQLiteMetadataStore",
    "ScoreFusion",
    "Scores",
    "SearchEngine",
    "SearchResults",
    "SpaceMismatchError",
    "Status",
    "Step",
    "StoreCorruptError",
    "StoreError",
    "StoreLockedError",
    "StoreUnavailableError",
    "TLSFiles",
    "Tensor",
    "TextProfile",
    "TextQueries",
    "Threshold",
    "TransferReport",
    "Trial",
    "Tunable",
    "Tuning",
    "UnknownModelError",
    "UnsupportedImageError",
    "Variant",
    "VectorStore",
    "Vectors",
    "Verification",
    "VerifyReport",
    "__version__",
    "annotate_model",
    "inspect_model",
    "open_image",
]

_HOMES = {
    "evaluation.comparison": "Agreement Answer Comparison",
    "catalog.integrity_report": "Defect Finding VerifyReport",
    "search.near_duplicates": "Threshold",
    "embedders.base": "Embedder Tensor TextQueries",
    "embedders.onnx.inspection": "ModelReport annotate_model inspect_model",
    "embedders.onnx.embedder": "OnnxEmbedder",
    "embedders.onnx.pooling": "Pooling",
    "embedders.onnx.session": "Provider RuntimeOptions",
    "embedders.onnx.text_embedder": "OnnxTextEmbedder",
    "embedders.onnx.tokenization": "TextProfile",
    "embedders.onnx.parity": "Verification",
    "engine": "SearchEngine",
    "errors": (
        "BrokenImageError ClosedError CollectionNotFoundError EmbeddingError EmptySourceError "
        "ImageError ImageNotFoundError ImageTooLargeError InvalidArgumentError "
        "MissingExtraError ModelError ModelLoadError ModelOutputError OnnxSearchError "
        "ProfileError ProviderError SpaceMismatchError StoreCorruptError StoreError "
        "StoreLockedError StoreUnavailableError UnknownModelError UnsupportedImageError"
    ),
    "evaluation.evaluator": "Evaluation Scores",
    "evaluation.ground_truth": "Labels",
    "filters": "F Filter",
    "search.fusion": "Fusion FusionChoice RankFusion ScoreFusion",
    "images.preprocessing.steps": "Step",
    "images.reading": "ReadPolicy open_image",
    "images.preprocessing.profile": "PreprocessingProfile",
    "images.conversion": "DecodePolicy",
    "evaluation.bootstrap": "Estimate",
    "metadata.base": "Cell DurabilityWarning MetadataStore",
    "metadata.memory": "InMemoryMetadataStore",
    "metadata.redis.store": "RedisMetadataStore",
    "metadata.sqlite": "SQLiteMetadataStore",
    "_internal.progress": "ProgressSink",
    "search.query": "Query QueryInput",
    "search.results": "SearchResults",
    "indexing.change_detection": "MetadataSource",
    "catalog.transfer": "TransferReport",
    "evaluation.index_tuning": "Trial Tuning",
    "types": (
        "Hit ImageInput IndexReport JSONValue Metadata Metric Outcome Progress Record Status"
    ),
    "vectors.base": "CollectionSpec Match VectorStore Vectors",
    "vectors.local": "LocalVectorStore",
    "vectors.memory": "InMemoryVectorStore",
    "vectors.milvus.store": "MilvusVectorStore",
    "vectors.milvus.connection": "TLSFiles",
    "vectors.milvus.index": (
        "AutoIndex FlatIndex HNSWIndex HNSWSQIndex IVFFlatIndex IVFSQ8Index MilvusIndex SCANNIndex"
    ),
    "vectors.milvus.search": "Consistency",
    "vectors.capabilities": "Tunable Variant",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
