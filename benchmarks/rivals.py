"""Other ways to turn files into vectors, each in a process of its own, on command.

    python -m benchmarks.rivals NAME MODEL FOLDER

Rivals start processes, change the settings of threads, or read the packages that they
find, so that none runs in the process that measures. A rival prints `ready`, and then, for
each number that it reads, the seconds that as many files of the folder took.

None of them reaches a model hub. fastembed runs the same ONNX file with the same
preprocessing; those that need PyTorch run ResNet50 with random weights, which is as fast as with
others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.threads import batched

Embed = Callable[[Sequence[str]], object]

BATCH = 16
FASTEMBED_MODEL = "local/model"


def register_with_fastembed() -> None:
    """Make the model known; the processes that fastembed starts do it too, by importing this."""
    from fastembed.common.model_description import DenseModelDescription, ModelSource
    from fastembed.image import onnx_embedding

    onnx_embedding.supported_onnx_models.append(
        DenseModelDescription(
            model=FASTEMBED_MODEL,
            sources=ModelSource(hf=FASTEMBED_MODEL),
            dim=1280,
            model_file="model.onnx",
            description="",
            license="",
            size_in_GB=0.01,
        )
    )


if any(name.startswith("fastembed") for name in sys.argv[1:2]):
    register_with_fastembed()


def fastembed(folder: Path, model: str, *, processes: bool) -> Embed:
    from fastembed import ImageEmbedding

    shutil.copy(model, folder / "model.onnx")
    # That of the bundled EfficientNet-Lite2.
    mean, deviation = [127 / 255] * 3, [128 / 255] * 3
    config = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 292},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": 260,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": deviation,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    cores = available_cores()
    embedding = ImageEmbedding(
        FASTEMBED_MODEL, specific_model_path=str(folder), threads=1 if processes else cores
    )
    parallel = cores if processes else None
    return lambda paths: list(embedding.embed(list(paths), batch_size=BATCH, parallel=parallel))


def article(folder: Path, model: str) -> Embed:
    """The article's script: for each image a session, a row of Milvus and a record.

    Milvus Lite takes the place of a server, and a dictionary that of Redis, both of which
    are faster.
    """
    from pymilvus import MilvusClient

    from onnxsearch import OnnxEmbedder

    embedder = OnnxEmbedder(model, profile="keras-caffe" if "keras" in model else None)
    client = MilvusClient(str(folder / "article.db"))
    client.create_collection("article", embedder.dimension)
    records: dict[int, str] = {}
    name = embedder.input.name

    def embed(paths: Sequence[str]) -> None:
        import onnxruntime

        for path in paths:
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            (output,) = session.run([embedder.output], {name: embedder.prepare(path)[None]})
            vector = embedder.pool(output)[0]
            number = len(records)
            client.insert("article", {"id": number, "vector": vector / np.linalg.norm(vector)})
            records[number] = path

    return embed


def sentence_transformers(folder: Path, model: str) -> Embed:
    """CLIP's ViT-B/32 with random weights, by sentence-transformers."""
    del model
    import torch
    from PIL import Image
    from sentence_transformers import SentenceTransformer, models
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.set_num_threads(available_cores())
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)
    encoder = SentenceTransformer(modules=[models.CLIPModel(str(folder))], device="cpu")
    return lambda paths: encoder.encode(
        [Image.open(path) for path in paths], batch_size=BATCH, show_progress_bar=False
    )


def deep_image_search(folder: Path, model: str) -> Embed:
    """ResNet50 with random weights, as DeepImageSearch's indexer embeds."""
    del folder, model
    import torch
    from DeepImageSearch.core.embeddings import EmbeddingManager
    from PIL import Image

    torch.set_num_threads(available_cores())
    manager = EmbeddingManager.create("resnet50", device="cpu", batch_size=BATCH, pretrained=False)
    return lambda paths: [
        manager.embed_images([Image.open(path).convert("RGB") for path in batch])
        for batch in batched(paths, BATCH)
    ]


RIVALS: dict[str, tuple[str, Callable[[Path, str], Embed]]] = {
    "fastembed, threads": ("fastembed", partial(fastembed, processes=False)),
    "fastembed, processes": ("fastembed", partial(fastembed, processes=True)),
    "the article's script": ("pymilvus", article),
    "sentence-transformers, CLIP ViT-B/32": ("sentence_transformers", sentence_transformers),
    "DeepImageSearch, ResNet50": ("DeepImageSearch", deep_image_search),
}
"""The package of each rival, and what makes it."""


class NotHereError(Exception):
    """The rival does not run here; the message says why."""


@contextmanager
def rival(name: str, model: Path, folder: Path) -> Iterator[Callable[[int], float]]:
    """Start a rival; return a function from a number of files to the seconds that they took.

    Raises:
        NotHereError: Its package is not installed, or it does not start.
    """
    if find_spec(RIVALS[name][0]) is None:
        raise NotHereError(f"{RIVALS[name][0]} is not installed")
    command = [sys.executable, "-m", "benchmarks.rivals", name, str(model), str(folder)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def answer() -> str:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("! "):
                    return line[2:].strip()
            process.wait()
            errors.seek(0)
            said = errors.read().strip().splitlines()
            raise NotHereError(f"it does not run: {said[-1] if said else 'no message'}"[:200])

        def run(count: int) -> float:
            assert process.stdin is not None
            print(count, file=process.stdin, flush=True)
            return float(answer())

        try:
            answer()
            yield run
        finally:
            process.stdin.close()
            if process.poll() is None:
                process.wait()


def main(name: str, model: str, folder: str) -> None:
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    with tempfile.TemporaryDirectory() as own:
        embed = RIVALS[name][1](Path(own), model)
        embed(paths[:2])
        print("! ready", flush=True)
        for line in sys.stdin:
            started = time.perf_counter()
            embed(paths[: int(line)])
            print("!", time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
