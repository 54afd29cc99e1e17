"""Index a folder of photographs, then search it with an image.

    python examples/first_steps.py [FOLDER] [QUERY]

The index is stored in `.onnxsearch/first-steps`. Run the program twice: the second run
finds all files unchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from onnxsearch import F, SearchEngine

HERE = Path(__file__).parent
FOLDER, QUERY = HERE / "album", HERE / "queries" / "coffee.jpg"


def main(folder: str | Path = FOLDER, query: str | Path = QUERY) -> None:
    with SearchEngine.open(".onnxsearch/first-steps") as engine:
        report = engine.index(folder, metadata=lambda path: {"kind": path.parent.name})
        print(report)
        for failure in report.failures:
            print(f"  {failure.status}: {failure.error}")

        print(f"most like {query}:")
        for hit in engine.search(query, limit=3):
            print(f"  {hit.distance:.3f}  {hit.uri}")

        print("most like it, leaving out its own folder:")
        others = F("kind") != "coffee"
        for hit in engine.search(query, limit=3, filter=others):
            print(f"  {hit.distance:.3f}  {hit.metadata['kind']}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
