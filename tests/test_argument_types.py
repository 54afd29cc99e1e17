"""Every public argument of a wrong type is refused, by name.

The cases are made from the signatures: for each parameter, each of a few values that its
annotation does not allow. A new parameter is covered as soon as there is one.
"""

from __future__ import annotations

import inspect
import math
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import onnxsearch
from onnxsearch import (
    AlphaQE,
    Archive,
    AsyncSearchEngine,
    Cell,
    CollectionSpec,
    DecodePolicy,
    Evaluation,
    F,
    Folder,
    HNSWIndex,
    HNSWSQIndex,
    ImageError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    IVFFlatIndex,
    IVFSQ8Index,
    Keywords,
    LinearProbe,
    LocalVectorStore,
    MilvusVectorStore,
    NearestNeighbours,
    OnnxEmbedder,
    OnnxTextEmbedder,
    PreprocessingProfile,
    ProfileError,
    Query,
    RankFusion,
    ReadPolicy,
    RedisMetadataStore,
    Remote,
    RemotePolicy,
    Rerank,
    RuntimeOptions,
    SCANNIndex,
    ScoreFusion,
    SearchEngine,
    SQLiteMetadataStore,
    Step,
    Table,
    TextProfile,
    TLSFiles,
    Video,
    WordReader,
    annotate_model,
    exif,
    inspect_model,
    open_image,
)
from onnxsearch.embedders.hub.cache import ModelCache
from onnxsearch.embedders.hub.lock import LockedFile, LockedModel, ModelLock
from onnxsearch.testing import FakeEmbedder, picture
from onnxsearch.testing.vector_samples import key, random_vectors
from tests.embedders.models import colour_model

SPEC = CollectionSpec("photos", 4, "model-1")

ALLOWED: Mapping[str, str] = {
    "ProgressSink": "bool",
    "MetadataSource": "None",
    "ItemMetadata": "None",
    "Metadata": "",
    "Labels": "str",
    "Words": "",
    "FusionChoice": "",
    "RerankChoice": "",
    "RerankFunction": "",
    "Scalar": "str int float bool",
    "ImageInput": "str bytes",
    "QueryInput": "str bytes",
    "Source": "list",
    "ArrayLike": "",
    "DTypeLike": "None",
    "SupportsIndex": "int",
    "int": "int",
    "float": "int float",
    "os.PathLike": "str",
}
"""Which of the values below a type takes that is not named like one of theirs."""

VALUES: Mapping[str, object] = {
    "None": None,
    "bool": True,
    "int": 3,
    "float": 2.5,
    "str": "no such value",
    "bytes": b"no such value",
    "object": object(),
    "list": [object()],
    "Mapping": {3: object()},
    "NaN": math.nan,
    "empty": "",
}


def wrong_values(annotation: str) -> Iterator[str]:
    """Yield the names of the values that an annotation does not allow."""
    while "[" in annotation:
        annotation = re.sub(r"\[[^\[\]]*\]", "", annotation)
    words = set(re.findall(r"[\w.]+", annotation))
    allowed = words | {name for word in words for name in ALLOWED.get(word, "").split()}
    if "str" in allowed and "os.PathLike" not in words:
        allowed.add("empty")  # another matter: some texts may be empty
    yield from (name for name in VALUES if name not in allowed)


class Target(NamedTuple):
    """Something to call, with arguments that fit."""

    call: Callable[..., object]
    arguments: dict[str, Any]


def cached_model(folder: Path, model: bytes) -> dict[str, object]:
    """Make a cache of one downloaded model, and return the arguments that name it."""
    cache, files = ModelCache(folder), {"model.onnx": model, "tokenizer.json": b"{}"}
    locked = {name: LockedFile(len(data), sha256(data).hexdigest()) for name, data in files.items()}
    downloaded = LockedModel("someone/model", "0" * 40, "mit", locked)
    place = cache.place(downloaded)
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    ModelLock().with_model(downloaded).write(cache.lock_path)
    return {
        "name": downloaded.repository,
        "revision": downloaded.revision,
        "file": "model.onnx",
        "cache": folder,
    }


def called(call: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    """Call, and take what an iterator yields."""
    result = call(**arguments)
    return list(result) if isinstance(result, Iterator) else result


def targets(folder: Path) -> dict[str, Target]:
    """Return everything public that takes arguments."""
    models = [FakeEmbedder("one"), FakeEmbedder("two")]
    engine = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore())
    for name in ("a", "b", "c", "d"):
        engine.add(picture(name), id=name, metadata={"label": "x"})
    picture("file").save(folder / "file.png")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.write(folder / "file.png", "file.png")
    (folder / "photos.csv").write_text("image\nfile.png\n")
    engine.save_snapshot(folder / "album.zip")
    engine.export(folder / "album.parquet")
    results, comparison = engine.search(picture("a")), engine.compare(picture("a"))
    evaluation = engine.evaluate("label")
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    vectors.ensure_collection(SPEC)
    model = folder / "model.onnx"
    model.write_bytes(colour_model())
    embedder = OnnxEmbedder(model, profile="keras-tf")
    cached = cached_model(folder / "hub", colour_model())
    profile = PreprocessingProfile.named("keras-tf")
    rows = {"collection": "photos", "keys": [key(1)]}
    cells = {Cell("pets", "a"): b"cat"}
    pairs = [("a", "b")]
    threshold, confusion = engine.duplicate_threshold(pairs), evaluation.confusions["one"]
    words = WordReader("words", lambda value: value.decode().split())
    groups = engine.duplicates(0.1)
    suggestions = groups.suggestions()
    return {
        "SearchEngine": Target(
            SearchEngine, {"embedders": models, "vectors": vectors, "metadata": records}
        ),
        "AsyncSearchEngine": Target(AsyncSearchEngine, {"engine": engine}),
        "open": Target(SearchEngine.open, {"location": folder / "new", "embedders": models}),
        "index": Target(engine.index, {"source": folder / "file.png"}),
        "watch": Target(engine.watch, {"folder": folder}),
        "add": Target(engine.add, {"image": picture("d")}),
        "add_many": Target(engine.add_many, {"items": []}),
        "index_iter": Target(engine.index_iter, {"source": []}),
        "get": Target(engine.get, {"id": "a"}),
        "remove": Target(engine.remove, {"id": "nobody"}),
        "remove by filter": Target(engine.remove, {"filter": F("year") == 0}),
        "update": Target(engine.update, {"id": "a", "metadata": {"label": "x"}}),
        "records": Target(engine.records, {}),
        "vectors": Target(engine.vectors, {"ids": ["a"]}),
        "search": Target(engine.search, {"query": picture("a")}),
        "search by text": Target(engine.search, {"text": "a"}),
        "fused search": Target(engine.search, {"query": picture("a"), "models": ["one"]}),
        "search_many": Target(engine.search_many, {"images": [picture("a")]}),
        "compare": Target(engine.compare, {"query": picture("a")}),
        "evaluate": Target(engine.evaluate, {"labels": "label"}),
        "evaluate pairs": Target(engine.evaluate, {"pairs": pairs}),
        "advise": Target(engine.advise, {"labels": dict.fromkeys("abcd", "x")}),
        "classify": Target(engine.classify, {"labels": ["a", "b"]}),
        "classify_by_examples": Target(
            engine.classify_by_examples, {"labels": {"a": "x", "b": "x", "c": "y"}}
        ),
        "NearestNeighbours": Target(NearestNeighbours, {}),
        "LinearProbe": Target(LinearProbe, {}),
        "recall": Target(engine.recall, {}),
        "tune": Target(engine.tune, {"target_recall": 0.9}),
        "duplicates": Target(engine.duplicates, {"max_distance": 0.1}),
        "duplicates.to_html": Target(groups.to_html, {"path": folder / "page.html"}),
        "duplicates.suggestions": Target(groups.suggestions, {}),
        "suggestions.to_json": Target(suggestions.to_json, {"path": folder / "d.json"}),
        "suggestions.to_csv": Target(suggestions.to_csv, {"path": folder / "d.csv"}),
        "copies": Target(engine.copies, {}),
        "map": Target(engine.map, {}),
        "map.to_html": Target(engine.map().to_html, {"path": folder / "map.html"}),
        "duplicate_threshold": Target(engine.duplicate_threshold, {"pairs": pairs}),
        "backfill": Target(engine.backfill, {"model": "one"}),
        "migrate": Target(engine.migrate, {"old": "one", "new": "two"}),
        "verify": Target(engine.verify, {}),
        "copy_to": Target(engine.copy_to, {"other": engine}),
        "save_snapshot": Target(engine.save_snapshot, {"path": folder / "other.zip"}),
        "export": Target(engine.export, {"path": folder / "album.csv"}),
        "import_from": Target(engine.import_from, {"path": folder / "album.parquet"}),
        "load_snapshot": Target(engine.load_snapshot, {"path": folder / "album.zip"}),
        "results.contact_sheet": Target(results.contact_sheet, {}),
        "results.to_html": Target(results.to_html, {"path": folder / "page.html"}),
        "comparison.contact_sheet": Target(comparison.contact_sheet, {}),
        "comparison.to_html": Target(comparison.to_html, {"path": folder / "page.html"}),
        "comparison.overlap": Target(comparison.overlap, {}),
        "comparison.rank_biased_overlap": Target(comparison.rank_biased_overlap, {}),
        "evaluation.compare": Target(evaluation.compare, {"first": "one", "second": "two"}),
        "evaluation.by_query": Target(evaluation.by_query, {"model": "one"}),
        "side_by_side": Target(Evaluation.side_by_side, {"evaluations": {"one": evaluation}}),
        "comparison.plot": Target(comparison.plot, {}),
        "evaluation.plot": Target(evaluation.plot, {}),
        "confusion.matrix": Target(confusion.matrix, {}),
        "confusion.plot": Target(confusion.plot, {}),
        "threshold.plot": Target(threshold.plot, {}),
        "Query.id": Target(Query.id, {"id": "a"}),
        "Query.text": Target(Query.text, {"text": "a"}),
        "Query.vector": Target(Query.vector, {"vector": [1.0]}),
        "Query.examples": Target(Query.examples, {"like": [picture("a")]}),
        "AlphaQE": Target(AlphaQE, {}),
        "Rerank.by_model": Target(Rerank.by_model, {"model": "one"}),
        "Rerank.by": Target(Rerank.by, {"function": lambda query, hits: [1.0 for hit in hits]}),
        "search by keywords": Target(engine.search, {"keywords": "a"}),
        "Keywords": Target(Keywords, {"text": "a"}),
        "WordReader": Target(WordReader, {"name": "words", "read": bytes.split}),
        "rank_by_words": Target(
            records.rank_by_words,
            {"table": "pets", "reader": words, "words": ["a"], "limit": 1},
        ),
        "stale_words": Target(records.stale_words, {"table": "pets", "repair": False}),
        "RankFusion": Target(RankFusion, {}),
        "ScoreFusion": Target(ScoreFusion, {}),
        "merge": Target(RankFusion().merge, {"rankings": {"one": []}}),
        "fuse": Target(RankFusion().fuse, {"results": {"one": results}}),
        "F": Target(F, {"name": "year"}),
        "F.parse": Target(F.parse, {"text": "year exists"}),
        "F.from_dict": Target(F.from_dict, {"mapping": {"field": "year", "exists": True}}),
        "F.contains": Target(F("year").contains, {"value": "a"}),
        "F.in_": Target(F("year").in_, {"values": ["a"]}),
        "F.startswith": Target(F("year").startswith, {"prefix": "a"}),
        "Archive": Target(Archive, {"path": folder / "photos.zip"}),
        "Remote": Target(Remote, {"urls": []}),
        "RemotePolicy": Target(RemotePolicy, {}),
        "Table": Target(Table, {"data": folder / "photos.csv"}),
        "Video": Target(Video, {"path": folder / "file.png"}),
        "Folder": Target(Folder, {"path": folder}),
        "ReadPolicy": Target(ReadPolicy, {}),
        "DecodePolicy": Target(DecodePolicy, {}),
        "exif": Target(exif, {"image": picture("a")}),
        "open_image": Target(open_image, {"source": picture("a")}),
        "Step": Target(Step, {"operation": "divide", "values": (255.0,)}),
        "PreprocessingProfile": Target(PreprocessingProfile, {"name": "mine", "size": (8, 8)}),
        "named": Target(PreprocessingProfile.named, {"name": "keras-tf"}),
        "from_json": Target(PreprocessingProfile.from_json, {"text": profile.to_json()}),
        "apply": Target(profile.apply, {"image": Image.new("RGB", (8, 8))}),
        "pixels": Target(profile.pixels, {"image": Image.new("RGB", (8, 8))}),
        "OnnxEmbedder": Target(OnnxEmbedder, {"model": model, "profile": "keras-tf"}),
        "bundled": Target(OnnxEmbedder.bundled, {"name": "efficientnet-lite0"}),
        "OnnxEmbedder.hub": Target(OnnxEmbedder.hub, {**cached, "profile": "keras-tf"}),
        "OnnxTextEmbedder.hub": Target(OnnxTextEmbedder.hub, {**cached, "profile": "clip"}),
        "embed": Target(embedder.embed, {"images": [picture("a")]}),
        "embed_tensors": Target(
            embedder.embed_tensors, {"tensors": [np.zeros((3, 224, 224), np.float32)]}
        ),
        "parallel": Target(embedder.parallel, {"workers": 1}),
        "embedder.verify": Target(embedder.verify, {"reference": folder / "reference.npz"}),
        "inspect_model": Target(inspect_model, {"path": model}),
        "annotate_model": Target(annotate_model, {"path": model, "profile": "keras-tf"}),
        "RuntimeOptions": Target(RuntimeOptions, {}),
        "TextProfile": Target(TextProfile, {"name": "mine", "max_tokens": 77}),
        "TextProfile.named": Target(TextProfile.named, {"name": "clip"}),
        "OnnxTextEmbedder": Target(
            OnnxTextEmbedder,
            {"model": model, "tokenizer": folder / "tokenizer.json", "profile": "clip"},
        ),
        "CollectionSpec": Target(
            CollectionSpec, {"name": "photos", "dimension": 4, "fingerprint": "model-1"}
        ),
        "LocalVectorStore": Target(LocalVectorStore, {"path": folder / "vectors.sqlite"}),
        "SQLiteMetadataStore": Target(SQLiteMetadataStore, {"path": folder / "records.sqlite"}),
        "MilvusVectorStore": Target(MilvusVectorStore, {"uri": folder / "milvus.db"}),
        "RedisMetadataStore": Target(RedisMetadataStore, {"url": "redis://127.0.0.1:9/0"}),
        "TLSFiles": Target(TLSFiles, {"authority": folder / "file.png"}),
        "vectors.count": Target(vectors.count, {"collection": "photos"}),
        "vectors.ids": Target(vectors.ids, {"collection": "photos"}),
        "vectors.describe": Target(vectors.describe, {"collection": "photos"}),
        "vectors.drop": Target(vectors.drop, {"collection": "nothing"}),
        "vectors.ensure_collection": Target(vectors.ensure_collection, {"spec": SPEC}),
        "vectors.fetch": Target(vectors.fetch, rows),
        "vectors.delete": Target(vectors.delete, rows),
        "vectors.search": Target(
            vectors.search,
            {"collection": "photos", "queries": random_vectors(SPEC, 1), "limit": 1},
        ),
        "vectors.upsert": Target(
            vectors.upsert, {**rows, "vectors": random_vectors(SPEC, 1), "metadata": [{}]}
        ),
        "records.get": Target(records.get, {"table": "pets", "key": "a"}),
        "records.get_many": Target(records.get_many, {"table": "pets", "keys": ["a"]}),
        "records.items": Target(records.items, {"table": "pets"}),
        "records.count": Target(records.count, {"table": "pets"}),
        "records.commit": Target(records.commit, {"writes": cells, "expect": {}}),
        **{
            index.__name__: Target(index, {})
            for index in (HNSWIndex, HNSWSQIndex, IVFFlatIndex, IVFSQ8Index, SCANNIndex)
        },
    }


def cases() -> Iterator[Any]:
    """Yield every target with each of its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        for name, target in targets(Path(folder)).items():
            for parameter in inspect.signature(target.call).parameters.values():
                if parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                    yield pytest.param(name, parameter.name, id=f"{name}-{parameter.name}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("targets"))


@pytest.mark.parametrize(("name", "parameter"), list(cases()))
def test_a_wrong_type_is_refused_by_name(
    world: dict[str, Target], name: str, parameter: str
) -> None:
    call, arguments = world[name]
    annotation = str(inspect.signature(call).parameters[parameter].annotation)
    for value in wrong_values(annotation):
        with pytest.raises((InvalidArgumentError, ProfileError, ImageError)) as caught:
            called(call, {**arguments, parameter: VALUES[value]})
        if not isinstance(caught.value, ImageError):
            # Of "keys" it may be one "key" that is wrong.
            assert parameter.removesuffix("s") in str(caught.value), value


def test_every_class_that_an_application_makes_is_among_them(world: dict[str, Target]) -> None:
    """What is only returned, and what is only subclassed, has no arguments to check."""
    tested = {target.call for target in world.values()}
    for name in onnxsearch.__all__:
        thing = getattr(onnxsearch, name)
        if name.endswith(("Store", "Index", "Policy", "Embedder", "Profile", "Options", "Fusion")):
            made = inspect.isclass(thing) and not inspect.isabstract(thing)
            if made and inspect.signature(thing).parameters:
                assert thing in tested, name
