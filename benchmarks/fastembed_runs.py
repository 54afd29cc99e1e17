"""Embeds photographs with fastembed, in an interpreter that has it; see `benchmarks.throughput`.

    python fastembed_runs.py MODEL_FOLDER DIMENSION PHOTO_FOLDER

For each line of standard input, `threads` or `processes`, it embeds all photographs in that way,
and prints the seconds that it took. It imports nothing of onnxsearch.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from fastembed import ImageEmbedding  # type: ignore[import-not-found]
from fastembed.common.model_description import (  # type: ignore[import-not-found]
    DenseModelDescription,
    ModelSource,
)
from fastembed.image import onnx_embedding  # type: ignore[import-not-found]

NAME = "local/model"

# Also in the processes that fastembed starts, which import this file.
onnx_embedding.supported_onnx_models.append(
    DenseModelDescription(
        model=NAME,
        sources=ModelSource(hf=NAME),
        dim=int(sys.argv[2]),
        model_file="model.onnx",
        description="",
        license="",
        size_in_GB=0.01,
    )
)


def main() -> None:
    folder, _, photos = sys.argv[1:]
    paths = sorted(map(str, Path(photos).glob("*.jpg")))
    cores = len(os.sched_getaffinity(0))
    ways = {
        "threads": (ImageEmbedding(NAME, specific_model_path=folder, threads=cores), None),
        "processes": (ImageEmbedding(NAME, specific_model_path=folder, threads=1), cores),
    }
    for way in map(str.strip, sys.stdin):
        model, parallel = ways[way]
        started = time.perf_counter()
        for _ in model.embed(paths, batch_size=16, parallel=parallel):
            pass
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
