"""Models for the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    LocalVectorStore,
    MetadataStore,
    MilvusVectorStore,
    RedisMetadataStore,
    SQLiteMetadataStore,
    VectorStore,
)
from tests.servers import RedisServer, milvus_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def nhwc_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as Keras exports them: NHWC, free batch, height and width, 2048 numbers."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.02, (2048, 3, 16, 16)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["nchw", "kernel"], ["map"], strides=[16, 16]),
            helper.make_node("Relu", ["map"], ["positive"]),
            helper.make_node("GlobalMaxPool", ["positive"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"]),
        ],
        "wide",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2048])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="test"
    )
    path = tmp_path_factory.mktemp("models") / "wide.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def keras_exports() -> Path:
    """Models that Keras itself exported: `nox -s export` makes them."""
    folder = ROOT / "build" / "models"
    if not (folder / "resnet50-keras-random.onnx").exists():
        pytest.skip("no exported Keras models in build/models: run nox -s export first")
    return folder


@pytest.fixture(
    params=[
        "memory",
        "local",
        pytest.param("lite", marks=pytest.mark.integration),
        pytest.param("server", marks=pytest.mark.integration),
    ]
)
def stores(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[VectorStore, MetadataStore]]:
    """Give each pair of stores that an engine can have: in memory, in files, on servers."""
    if request.param == "memory":
        yield InMemoryVectorStore(), InMemoryMetadataStore()
    elif request.param == "local":
        with (
            LocalVectorStore(tmp_path / "vectors.sqlite") as vectors,
            SQLiteMetadataStore(tmp_path / "records.sqlite") as records,
        ):
            yield vectors, records
    else:
        with RedisServer(tmp_path / "redis").start() as server:
            if request.param == "lite":
                pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed")
                milvus = MilvusVectorStore(tmp_path / "vectors.db")
            else:
                url = request.getfixturevalue("milvus_url")
                milvus = MilvusVectorStore(url, db_name=milvus_database(url, "engine"))
            with milvus, RedisMetadataStore(server.url) as redis:
                yield milvus, redis
