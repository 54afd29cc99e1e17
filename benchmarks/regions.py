"""Do regions find the images in which a photograph is a part?

    python -m benchmarks.regions FOLDER [--collages 400] [--model efficientnet-lite2]

FOLDER holds photographs, at any depth. Each collage is one of them, with another one pasted at a
ninth of its area at a random place; no photograph is used twice. The query is the photograph that
was pasted, and the collage is to be found among all of them: by whole images, by regions, and by
whole images of which the first 100 are reranked by regions. The size of the index with and without
regions is compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from onnxsearch import OnnxEmbedder, Rerank, SearchEngine
from onnxsearch.embedders.bundled import DEFAULT_MODEL, bundled_models
from onnxsearch.embedders.regions import regions_name

Pasted = tuple[int, int, int, int]


def collage(base: Path, part: Path, random: np.random.Generator) -> tuple[Image.Image, Pasted]:
    """Return a collage, and the box of the part in it."""
    with Image.open(base) as opened, Image.open(part) as pasted:
        whole, small = opened.convert("RGB"), pasted.convert("RGB")
    area, aspect = whole.width * whole.height / 9, small.width / small.height
    width = min(whole.width, round((area * aspect) ** 0.5))
    height = min(whole.height, round(area / width))
    left = int(random.integers(0, whole.width - width + 1))
    top = int(random.integers(0, whole.height - height + 1))
    whole.paste(small.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    return whole, (left, top, left + width, top + height)


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def measure(photos: list[Path], number: int, model: str, folder: Path) -> None:
    random = np.random.default_rng(13)
    order = random.permutation(len(photos))[: 2 * number]
    parts: list[tuple[Path, Pasted]] = []
    (folder / "collages").mkdir()
    for place in range(number):
        base, part = photos[order[place]], photos[order[number + place]]
        image, box = collage(base, part, random)
        image.save(folder / "collages" / f"{place:04}.jpg", quality=92)
        parts.append((part, box))
    regions = regions_name(model)
    with OnnxEmbedder.bundled(model) as plain:
        size, seconds = indexed(plain, folder, "plain")
    print(f"whole images: {size / number / 1e3:.1f} kB an image, indexed in {seconds:.1f} s CPU")
    with OnnxEmbedder.bundled(model, regions=True) as embedder:
        larger, seconds = indexed(embedder, folder, "regions")
    print(
        f"regions: {larger / number / 1e3:.1f} kB an image, {larger / size:.1f} times as much, "
        f"indexed in {seconds:.1f} s CPU"
    )
    with SearchEngine.open(folder / "regions") as engine:
        by_region = Rerank.by_model(regions)
        found, inside, took = {"whole images": 0, "reranked by regions": 0, "regions": 0}, 0, 0.0
        for place, (part, box) in enumerate(parts):
            wanted = f"{place:04}.jpg"
            whole = engine.search(part, model=model, limit=1)[0]
            again = engine.search(part, model=model, limit=1, rerank=by_region)[0]
            started = time.perf_counter()
            hit = engine.search(part, model=regions, limit=1)[0]
            took += time.perf_counter() - started
            found["whole images"] += Path(whole.id).name == wanted
            found["reranked by regions"] += Path(again.id).name == wanted
            if Path(hit.id).name == wanted and hit.region is not None:
                found["regions"] += 1
                with Image.open(hit.id) as image:
                    left, top, right, bottom = hit.region.in_pixels(*image.size)
                across = box[0] <= (left + right) / 2 <= box[2]
                inside += across and box[1] <= (top + bottom) / 2 <= box[3]
    for search, hits in found.items():
        print(f"{search:20} P@1 {hits / number:.3f}")
    print(f"the middle of the region is in the part: {inside / max(1, found['regions']):.3f}")
    print(f"a search for regions: {took / number * 1e3:.0f} ms")


def indexed(embedder: OnnxEmbedder, folder: Path, name: str) -> tuple[int, float]:
    """Index the collages; return the size of the index, and the CPU time."""
    with SearchEngine.open(folder / name, embedders=embedder) as engine:
        started = time.process_time()
        engine.index(folder / "collages")
        seconds = time.process_time() - started
    return size_of(folder / name), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collages", type=int, default=400)
    parser.add_argument("--model", default=DEFAULT_MODEL, choices=bundled_models())
    arguments = parser.parse_args()
    photos = sorted(arguments.folder.rglob("*.jpg"))
    number = min(arguments.collages, len(photos) // 2)
    with tempfile.TemporaryDirectory() as folder:
        measure(photos, number, arguments.model, Path(folder))


if __name__ == "__main__":
    main()
