"""Your own model: with a profile, and as a subclass.

    python examples/own_model.py [MODEL.onnx PROFILE]

Without arguments it uses the smaller one of the two bundled models.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from onnxsearch import (
    InMemoryMetadataStore,
    InMemoryVectorStore,
    OnnxEmbedder,
    PreprocessingProfile,
    SearchEngine,
    Step,
    Tensor,
)
from onnxsearch.embedders.bundled import bundled_model

HERE = Path(__file__).parent


# [profile]
MY_PROFILE = PreprocessingProfile(
    name="mine",
    size=(224, 224),
    fit="shortest",  # resize the shorter side to 256 pixels, then crop the centre
    resize_to=256,
    resample="bicubic",
    steps=(Step("subtract", (127,)), Step("divide", (128,))),
)
# [profile end]


# [subclass]
class MirrorEmbedder(OnnxEmbedder):
    """Gives an image and its mirror image the same vector."""

    def run(self, batch: Tensor) -> Tensor:
        width = 3 if self.input.layout == "NCHW" else 2
        mirrored = np.ascontiguousarray(np.flip(batch, width))
        return super().run(batch) + super().run(mirrored)


# [subclass end]


def main(model: str | Path, profile: str | PreprocessingProfile) -> None:
    embedders = [
        OnnxEmbedder(model, profile=profile),
        MirrorEmbedder(model, profile=profile, name="mirror"),
    ]
    query = HERE / "queries" / "flower.jpg"
    with InMemoryVectorStore() as vectors, InMemoryMetadataStore() as metadata:
        engine = SearchEngine(embedders, vectors, metadata)
        print(engine.index(HERE / "album"))
        for name in engine.models:
            found = engine.search(query, model=name, limit=3)
            print(f"{name} ({found.metric.value})")
            for hit in found:
                print(f"  {hit.distance:.3f}  {Path(hit.id).name}")


if __name__ == "__main__":
    given = sys.argv[1:3]
    main(*given) if len(given) == 2 else main(bundled_model("efficientnet-lite0"), MY_PROFILE)
