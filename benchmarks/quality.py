"""Share of photographs whose nearest neighbour shows the same thing, for models side by side.

    python -m benchmarks.quality FOLDER [MODEL.onnx ...]

FOLDER holds a folder of photographs per class. Every photograph is searched for
among all others (leave one out); those of its own class are right answers.

P@1 is the share of photographs whose nearest neighbour is right. mAP is the mean of
the average precision over the whole ranking: precision at the rank of each right
answer, averaged. Photographs that are alone in their class count for neither.

Without MODEL the bundled models are measured. A model whose file holds no profile
is followed by one: MODEL.onnx=keras-caffe. The cosine is the mean one to the first
model's vectors, where both have the same dimension.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsearch import OnnxEmbedder
from onnxsearch.embedders.bundled import bundled_model, bundled_models


@dataclass(frozen=True, slots=True)
class Quality:
    """Result of a leave-one-out search over labelled vectors."""

    queries: int
    precision_at_1: float
    mean_average_precision: float


def leave_one_out(vectors: NDArray[np.float32], labels: Sequence[str]) -> Quality:
    """Search for each of the unit vectors (n, dimension) among all others, by cosine."""
    classes = np.asarray(labels)
    likeness = vectors @ vectors.T
    # Every query finds itself last, where it is cut off.
    np.fill_diagonal(likeness, -np.inf)
    first, precisions = [], []
    for row, label in zip(likeness, classes, strict=True):
        ranking = np.argsort(-row, kind="stable")[:-1]
        right = classes[ranking] == label
        ranks = np.flatnonzero(right) + 1
        if len(ranks):
            first.append(right[0])
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return Quality(len(first), float(np.mean(first)), float(np.mean(precisions)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL.onnx[=PROFILE]")
    options = parser.parse_args(arguments)
    photos = sorted(path for path in options.folder.glob("*/*") if path.is_file())
    if not photos:
        parser.error(f"{options.folder}: expected a folder of photographs per class in it")
    labels = [path.parent.name for path in photos]
    print(f"{len(photos)} photographs, {len(set(labels))} classes")
    print(f"{'model':40} {'MB':>5} {'P@1':>6} {'mAP':>6} {'cosine':>7}")
    reference: NDArray[np.float32] | None = None
    for model in options.models or map(str, map(bundled_model, bundled_models())):
        path, _, profile = model.partition("=")
        embedder = OnnxEmbedder(path, profile=profile or None)
        vectors = embedder.embed(photos)
        quality = leave_one_out(vectors, labels)
        reference = vectors if reference is None else reference
        cosine = "-"
        if reference.shape == vectors.shape:
            cosine = f"{(reference * vectors).sum(axis=1).mean():.4f}"
        print(
            f"{embedder.name:40} {Path(path).stat().st_size / 1e6:5.1f} "
            f"{quality.precision_at_1:6.3f} {quality.mean_average_precision:6.3f} {cosine:>7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
