"""Run all comparisons with others: python -m benchmarks [--quick] [--only PART ...].

Writes a page with a table of each part, and a plot: `benchmarks.md` and `benchmarks.svg` in
the folder of `--output`. What is not installed is named in the tables. `--quick` takes a
quarter of an hour on two cores, all of it an hour.

`--only` measures some parts, and takes the others from `results.json`, where each run leaves
what it measured. So the parts can be measured one by one, whenever the machine is quiet. `--only`
without a part writes the page again.

The other modules measure one thing each: see `python -m benchmarks.NAME --help`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import embedding, growth
from benchmarks.results import Part, Result, draw, load, markdown, measured_now, save

PARTS: dict[str, Callable[[bool], list[Result]]] = {
    "photos": embedding.photos,
    "phones": embedding.phones,
    "article": embedding.article,
    "article-resnet50": embedding.article_resnet50,
    "torch": embedding.torch,
    "search-1000": partial(growth.growth, 1_000),
    "search-10000": partial(growth.growth, 10_000),
    "search-100000": partial(growth.growth, 100_000),
    "search-1000000": partial(growth.growth, 1_000_000),
}
LONG = ["search-1000000"]
"""What `--quick` leaves out unless it is asked for."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer images, rows and turns")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--note", default="", help="a sentence on the conditions, for the page")
    options = parser.parse_args()
    if unknown := set(options.only or []).difference(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "results.json"
    everything = [name for name in PARTS if not (options.quick and name in LONG)]
    parts = {} if options.only is None else load(file)
    for name in everything if options.only is None else options.only:
        parts[name] = _measure(name, options.quick)
        save(parts, file)
    found = [parts[name] for name in PARTS if name in parts]
    page = markdown(found, _plot(found, options.output), options.note)
    (options.output / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


def _measure(name: str, quick: bool) -> Part:
    part, started = measured_now(quick), time.monotonic()
    part.results += growth.in_own_process(PARTS[name], quick)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return part


def _plot(parts: Sequence[Part], folder: Path) -> str | None:
    try:
        draw(parts, folder / "benchmarks.svg")
    except ImportError:
        print("no plot: matplotlib is not installed", file=sys.stderr)
        return None
    return "benchmarks.svg"


if __name__ == "__main__":
    main()
