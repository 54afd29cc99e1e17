"""Two models side by side: VGG16 and a second one, with Milvus and Redis.

    python examples/article.py [--vgg16 PATH] [--second PATH] [--second-profile NAME]

The steps of the article "Combine AI models for image search using ONNX and Milvus":
extract features with ONNX Runtime, scale them to length 1, store them in one Milvus
collection per model and the records in Redis, find the nearest images by Euclidean
distance, and compare the results of the models.

The program looks for models in `../shared/models` and `build/models`. `python
tools/export_keras.py` writes VGG16 and ResNet50 with random weights to the latter. Without
--records, records are stored in an SQLite file and no server is needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from onnxsearch import OnnxEmbedder, SearchEngine

ROOT = Path(__file__).resolve().parents[1]
PLACES = (ROOT.parent / "shared" / "models", ROOT / "build" / "models")


class Model(NamedTuple):
    file: str
    profile: str
    output: str | None = None


# Trained weights first.
VGG16 = (
    Model("vgg16-notop.onnx", "keras-caffe", "embedding_max"),
    Model("vgg16-keras-random.onnx", "keras-caffe"),
)
SECOND = (
    Model("mobilenetv2-1280.onnx", "torchvision"),
    Model("resnet50-keras-random.onnx", "keras-caffe"),
)


def main() -> None:
    arguments = parse()
    vgg16 = load("vgg16", VGG16, arguments.vgg16, "keras-caffe")
    second = load("second", SECOND, arguments.second, arguments.second_profile)
    with SearchEngine.open(
        arguments.location, embedders=[vgg16, second], records=arguments.records
    ) as engine:
        print(engine.index(arguments.album))
        for query in arguments.query:
            compare(engine, query, arguments.limit)


def load(name: str, known: tuple[Model, ...], path: Path | None, profile: str) -> OnnxEmbedder:
    if path is not None:
        embedder = OnnxEmbedder(path, name=name, profile=profile)
    else:
        path, model = find(name, known)
        embedder = OnnxEmbedder(path, name=name, profile=model.profile, output=model.output)
    print(f"{name}: {path.name}, {embedder.dimension} dimensions, {embedder.profile.name}")
    return embedder


def find(name: str, known: tuple[Model, ...]) -> tuple[Path, Model]:
    for model in known:
        for place in PLACES:
            if (place / model.file).exists():
                return place / model.file, model
    raise SystemExit(f"no model for --{name}: run python tools/export_keras.py, or give a path")


def compare(engine: SearchEngine, query: Path, limit: int) -> None:
    answers = [engine.search(query, model=name, limit=limit) for name in engine.models]
    both = set.intersection(*(set(answer.ids) for answer in answers))
    print(f"\n{query.name}: {len(both)} of {limit} found by both")
    print(" ", "".join(f"{answer.model:30}" for answer in answers))
    for rank, hits in enumerate(zip(*answers, strict=True), 1):
        columns = (f"{hit.distance:.3f}  {Path(hit.id).name:23}" for hit in hits)
        print(rank, "".join(columns))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare two models on an album.")
    parser.add_argument("--vgg16", type=Path, help="an export of Keras' VGG16")
    parser.add_argument("--second", type=Path, help="another image model")
    parser.add_argument("--second-profile", default="keras-caffe", help="how to prepare for it")
    parser.add_argument("--location", default=".onnxsearch/article.db", help="Milvus Lite or URI")
    parser.add_argument("--records", help="redis://..., or the path of an SQLite file")
    parser.add_argument("--album", type=Path, default=ROOT / "examples" / "album")
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument(
        "query", nargs="*", type=Path, default=[ROOT / "examples" / "album" / "cat" / "cat.jpg"]
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
