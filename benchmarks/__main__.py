"""Run all comparisons with others in one run: python -m benchmarks [--quick] [--only PART ...].

Writes a page with a table of each part, and a plot: `benchmarks.md` and `benchmarks.svg` in
the folder of `--output`. What is not installed is named in the tables. `--quick` takes a
quarter of an hour on two cores, all of it an hour.

The other modules measure one thing each: see `python -m benchmarks.NAME --help`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import embedding, growth
from benchmarks.results import Result, draw, markdown, this_machine

PARTS: dict[str, Callable[[bool], list[Result]]] = {
    "photos": embedding.photos,
    "phones": embedding.phones,
    "article": embedding.article,
    "torch": embedding.torch,
    "search": growth.growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--quick", action="store_true", help="fewer images, rows and turns")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    results: list[Result] = []
    for name in options.only:
        started = time.monotonic()
        results += growth.in_own_process(PARTS[name], options.quick)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    command = " ".join(["python -m benchmarks", *(a for a in sys.argv[1:] if a == "--quick")])
    plot = _plot(results, options.output)
    page = markdown(results, machine, command, plot)
    (options.output / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


def _plot(results: list[Result], folder: Path) -> str | None:
    try:
        draw(results, folder / "benchmarks.svg")
    except ImportError:
        print("no plot: matplotlib is not installed", file=sys.stderr)
        return None
    return "benchmarks.svg"


if __name__ == "__main__":
    main()
