"""A program that uses the public names. Type checkers read it; nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from threading import Event

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from onnxsearch import (
    Advice,
    AlbumMap,
    AlphaQE,
    Archive,
    ArrowStream,
    AsyncSearchEngine,
    AsyncStats,
    AugmentReport,
    Candidates,
    CandidateSearch,
    Classification,
    CollectionSpec,
    Comparison,
    Confusion,
    DuplicateGroups,
    DuplicateImage,
    Embedder,
    Estimate,
    Evaluation,
    F,
    Filter,
    FilterDict,
    Folder,
    Hit,
    ImageInput,
    IndexInfo,
    IndexReport,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    Item,
    JSONValue,
    KeepSuggestion,
    KeepSuggestions,
    Keywords,
    KeywordSearch,
    LinearProbe,
    LocalVectorStore,
    Metadata,
    MetadataInput,
    Metric,
    MilvusIndex,
    MilvusVectorStore,
    ModelFile,
    ModelInfo,
    ModelSource,
    NearestNeighbours,
    OnnxEmbedder,
    OnnxSearchError,
    OnnxTextEmbedder,
    Outcome,
    PairedDifference,
    Progress,
    Query,
    RangeJoin,
    RankedKey,
    RankFusion,
    Record,
    Records,
    Region,
    Remote,
    RemotePolicy,
    Rerank,
    RuntimeOptions,
    SearchEngine,
    SearchResults,
    Setting,
    Source,
    SQLiteMetadataStore,
    Status,
    Table,
    Tensor,
    TextQueries,
    Timing,
    TransferReport,
    Trial,
    TriedSetting,
    Tunable,
    Tuning,
    Variant,
    Vectors,
    Verification,
    Video,
    WordReader,
    exif,
    inspect_model,
)
from onnxsearch.integrations.langchain import ImageSearchEmbeddings
from onnxsearch.integrations.sklearn import ImageEmbedder


class MeanColour(Embedder):
    @property
    def name(self) -> str:
        return "mean-colour"

    @property
    def dimension(self) -> int:
        return 3

    @property
    def fingerprint(self) -> str:
        return "mean-colour-1"

    def prepare(self, image: ImageInput) -> Tensor:
        mean: NDArray[np.float32] = np.asarray(image, np.float32).mean((0, 1))
        return mean

    def run(self, batch: Tensor) -> Tensor:
        return batch


class Frames:
    def __iter__(self) -> Iterator[Item]:
        yield Item(lambda: b"", uri="rtsp://camera/0", metadata={"time": 0.5})


def show(progress: Progress) -> None:
    done: int = progress.done
    total: int | None = progress.total
    print(done, total, progress.current)


def open_and_search(location: str) -> list[str]:
    with SearchEngine.open(location) as engine:
        report: IndexReport = engine.index("pictures", progress=show)
        engine.index(Path("pictures"), root="pictures")
        for change in engine.watch("pictures", quiet=2.0, stop_event=Event()):
            print(change.failures)
        outcomes: Sequence[Outcome] = report.outcomes
        indexed: int = report.counts[Status.INDEXED]
        print(len(outcomes), indexed, report.failures)
        results: SearchResults = engine.search("query.jpg", limit=5)
        first: Hit = results[0]
        best: tuple[Hit, ...] = results[:3]
        metadata: Metadata = first.metadata
        metric: Metric | None = results.metric
        print(best, metadata, metric, first.distance + first.score)
        return results.ids


def compose() -> SearchEngine:
    engine = SearchEngine(
        embedders=[MeanColour(), OnnxEmbedder("resnet50.onnx", profile="keras-caffe")],
        vectors=InMemoryVectorStore(),
        metadata=InMemoryMetadataStore(),
    )
    info: IndexInfo = engine.info()
    models: tuple[ModelInfo, ...] = info.models
    file: ModelFile | None = models[0].file
    print(info.images, info.identity, models[0].profile, file and file.sha256)
    region_model: str | None = models[0].region_model
    print(region_model, models[0].regions)
    key: str = engine.add(Path("one.jpg"), metadata={"year": 2020})
    engine.add(b"", id="two")
    engine.add(np.zeros((8, 8, 3), np.uint8))
    many: IndexReport = engine.add_many([Item(b"", id="three"), Path("four.jpg")], progress=show)
    engine.index("pictures", metadata=exif)
    engine.add_many(Frames(), metadata=exif)
    engine.add_many(Frames(), metadata=lambda image: {"kind": type(image).__name__})
    final: list[Outcome] = [*engine.index_iter("pictures"), *engine.index_iter(Frames())]
    print(many.counts, final)
    engine.remove(key)
    count: int = engine.count()
    print(count)
    return engine


def read(engine: SearchEngine) -> Vectors:
    records: Records = engine.records(F("year") >= 2020, order_by="-modified")
    changed: list[Record] = [engine.update(r.id, metadata={"year": 2021}) for r in records]
    number: int = engine.export("album.parquet", F("year") >= 2020, progress=True)
    moved: TransferReport = engine.import_from("album.parquet")
    print(number, moved.copied)
    space: AugmentReport = engine.augment("mean-colour", neighbours=5, alpha=3, progress=True)
    print(space.model, engine.info().augmented[0].added, engine.search(b"", augmented=True))
    removed: list[str] = engine.remove(filter=F("year") < 2000)
    known: bool = "two" in engine
    rows: list[dict[str, JSONValue]] = records.to_dicts()
    print(changed, removed, known, len(engine), rows, records.to_pandas(), records.to_arrow())
    return engine.vectors(["one", "two"], model="mean-colour")


def where_models_are() -> SearchEngine:
    return SearchEngine.open("album", records="redis://localhost", model_path=["models", Path("x")])


def by_words(engine: SearchEngine) -> Vectors:
    text = OnnxTextEmbedder("text.onnx", "tokenizer.json", profile="clip")
    clip = OnnxEmbedder("vision.onnx", text=text, runtime=RuntimeOptions(shrink=True))
    chosen: tuple[str, ...] = OnnxEmbedder.bundled(providers="auto", device_ids=[0]).providers
    exact = OnnxEmbedder.bundled(embedder_name="exact", profile="efficientnet-lite2")
    tower: OnnxTextEmbedder = OnnxTextEmbedder.hub("a/b", revision="0" * 40, file="t.onnx")
    sources: list[ModelSource | None] = [
        OnnxEmbedder.hub("resnet50", regions=True).source,
        tower.source,
    ]
    print(sources, chosen, exact)
    found: SearchResults = engine.search(text="a red apple")
    queries: TextQueries = clip
    report: Verification = clip.verify("reference.npz")
    print(found.ids, report.ok, inspect_model("vision.onnx").call)
    return queries.embed_text(["a red apple"])


def others(engine: SearchEngine) -> list[float | None]:
    found = engine.search(
        "cat.jpg", exclude_query=True, exclude=["dog"], group_by="year", group_size=3, min_score=0.5
    )
    many = engine.search_many(["cat.jpg"], exclude="dog", exclude_query=True, min_score=0.5)
    engine.compare("cat.jpg", exclude=(id for id in ["dog"]), exclude_query=True)
    return [hit.similarity for results in (found, *many) for hit in results]


def recent() -> Filter:
    parsed: Filter = F.parse("year >= 2020")
    read: Filter = F.from_dict({"and": [{"field": ["camera", "year"], "ge": 2020}]})
    written: FilterDict = (parsed & read).to_dict()
    print(written)
    return (F("year") >= 2020) & (F("camera", "taken") >= date(2026, 1, 31))


def add(engine: SearchEngine, metadata: MetadataInput) -> str:
    engine.add("cat.jpg", metadata={"taken": date(2026, 1, 31), "camera": {"make": "Leica"}})
    engine.add_many(["cat.jpg"], ttl=timedelta(days=1))
    swept: int = engine.sweep()
    record = engine.get("cat")
    expires: float | None = None if record is None else record.expires
    print(swept, expires)
    return engine.add("cat.jpg", metadata=metadata, ttl=3600)


def embed(embedder: Embedder, picture: NDArray[np.uint8]) -> Vectors:
    return embedder.embed([picture, "file.jpg"], batch_size=2)


def spec() -> CollectionSpec:
    return CollectionSpec("photos", 512, "fingerprint", Metric.COSINE)


def message(error: OnnxSearchError) -> str:
    return str(error)


def several_models(engine: SearchEngine) -> float:
    query = Query.examples(like=["one.jpg", Query.id("two")], unlike=[b""])
    fused: SearchResults = engine.search(query, models=["a", "b"], fusion=RankFusion(k=10))
    engine.search(text="a red apple", model="clip", max_distance=1.0, group_by="album")
    engine.search(query, expand=AlphaQE(n=3, alpha=2.0), rerank=Rerank.by_model("b", first=20))
    engine.search(query, rerank=lambda query, hits: [-hit.distance for hit in hits])
    again: list[float | None] = [hit.rerank_score for hit in fused]
    fused = engine.search(query, rerank=Rerank.by(lambda query, hits: np.ones(len(again))))
    fused = engine.search("one.jpg", box=(0, 0, 10, 20), model="a.regions")
    regions: list[Region | None] = [hit.region for hit in fused]
    print([region and region.in_pixels(640, 480) for region in regions])
    fused = engine.search("one.jpg", keywords=Keywords("red apple", fields=["caption"]), limit=5)
    words: list[str] = engine.search(keywords="red apple", fusion=None).ids + Keywords("x").words
    print(words)
    comparison: Comparison = engine.compare([Path("one.jpg"), Path("two.jpg")], limit=5)
    page: Path = comparison.to_html("out.html")
    fused.contact_sheet().save(page.with_suffix(".png"))
    evaluation: Evaluation = engine.evaluate({"one": "cat", "two": "cat"}, fusion="scores")
    estimate: Estimate = evaluation.scores["a"].mean_average_precision
    both: Evaluation = Evaluation.side_by_side({"a": evaluation, "b": evaluation})
    difference: PairedDifference = both.compare("a/a", "b/a", metric="precision@1")
    worst: dict[str, float] = evaluation.by_query("a")
    print(difference.better, difference.difference.low, worst)
    curve: Estimate = evaluation.scores["a"].precision_at_recall[0.5]
    confusion: Confusion = evaluation.confusions["a"]
    axes: Axes = evaluation.plot(ax=comparison.plot("overlap"))
    confusion.plot(classes=5, ax=engine.duplicate_threshold([("one", "two")]).plot(ax=axes))
    mistakes: list[tuple[str, str, int]] = confusion.mistakes
    print(curve.low, mistakes, confusion.matrix(3))
    advice: Advice = engine.advise("label", "a", metric="ndcg")
    chosen: Setting = advice.proposed
    tried: tuple[TriedSetting, ...] = advice.tried
    print(advice.call, chosen.expand, tried[0].difference.better)
    named: Classification = engine.classify(["cat", "dog"], "clip", known="label")
    learnt = engine.classify_by_examples("label", classifier=NearestNeighbours(5))
    labels: list[str | int | float | bool] = [each.label for each in (*named, *learnt)]
    print(labels, LinearProbe(strength=10.0))
    album: AlbumMap = engine.map(filter=F("year") == 2024, seed=1, progress=True)
    mapped: tuple[str, ...] = album.ids + album.medoids + album.labels
    print(album.to_html("map.html").name, mapped, album.to_arrow())
    groups: list[tuple[str, ...]] = engine.duplicates(0.1, progress=True) + engine.copies()
    duplicates: DuplicateGroups = engine.duplicates(0.1)[:100]
    review: Path = duplicates.to_html("duplicates.html", progress=True)
    suggestions: KeepSuggestions = duplicates.suggestions()
    keep: KeepSuggestion = suggestions[0]
    shown: DuplicateImage = keep.images[0]
    print(keep.keep, keep.reason, shown.sharpness)
    print(suggestions.to_csv(review), suggestions.to_json(review))
    report: IndexReport = engine.migrate("a", MeanColour())
    tuning: Tuning = engine.tune(0.99, model="a", limit=5)
    MilvusVectorStore("tuned.db", index=tuning.index)
    print(groups, report, engine.recall().low, tuning.recall.low, tuning.trials[0].milliseconds)
    return estimate.value + comparison.overlap(3)


def ranked(store: SQLiteMetadataStore) -> KeywordSearch:
    reader = WordReader("words", lambda value: value.decode().split())
    keys: list[RankedKey] = store.rank_by_words("captions", reader, ["red"], 10)
    print(keys[0].key, keys[0].score, store.stale_words("captions", repair=True))
    return store


def joined(store: LocalVectorStore) -> RangeJoin:
    pairs: Iterator[tuple[str, str]] | None = store.pairs_within("photos", max_distance=0.1)
    print(pairs)
    return store


def roughly(store: LocalVectorStore, queries: Vectors) -> CandidateSearch:
    found: list[Candidates] = store.candidates("photos", queries, limit=32)
    print(found[0].keys, found[0].vectors)
    return store


def tuned(store: MilvusVectorStore, trials: Tuning[MilvusIndex]) -> Tunable[MilvusIndex]:
    variants: list[Variant[MilvusIndex]] = store.variants("photos", limit=5)
    best: Trial[MilvusIndex] = trials.proposed
    MilvusVectorStore("tuned.db", index=variants[0].index)
    MilvusVectorStore("tuned.db", index=best.index)
    return store


def sources(archive: Path, frame: ArrowStream) -> list[Source]:
    policy = RemotePolicy(max_bytes=2**20, timeout=5, protocols=["https", "s3"])
    return [
        Folder("photos", exclude=["raw/"], include_hidden=True),
        Archive(archive, exclude=["raw/"], include_hidden=True, max_bytes=2**30),
        Remote(["https://example.org/a.jpg"], policy),
        Table("products.csv", image="photo", id="sku", metadata=["price"], remote=policy),
        Table(frame, root="photos"),
        Video("clip.mp4", every=2, scene_threshold=0.3, metadata={"place": "beach"}),
    ]


async def awaited(engine: SearchEngine) -> list[str]:
    async with AsyncSearchEngine.open("album", concurrency=8, batching=False) as opened:
        report: IndexReport = await opened.index("pictures", progress=show)
        print(report)
    ours = AsyncSearchEngine(engine)
    stored: str = await ours.add("cat.jpg", id="cat", metadata={"name": "Tom"})
    record: Record | None = await ours.get(stored)
    results: SearchResults = await ours.search(text="a cat", limit=5, filter=F("name") == "Tom")
    stats: AsyncStats = await ours.stats()
    timing: Timing = engine.stats().operations["search"]
    print(stats.waiting, timing.p95, [model.vectors for model in stats.models])
    async for outcome in ours.index_iter("pictures"):
        status: Status = outcome.status
        print(status, record)
    names: list[str] = [record.id async for record in ours.records(order_by="id")]
    await (await AsyncSearchEngine.open("album")).close()
    return names + results.ids


def adapters(embedder: Embedder, paths: list[Path]) -> NDArray[np.float32]:
    rows: list[list[float]] = ImageSearchEmbeddings(embedder).embed_image(paths)
    print(rows)
    return ImageEmbedder("efficientnet-lite0", batch_size=4).fit(paths).transform(paths)
