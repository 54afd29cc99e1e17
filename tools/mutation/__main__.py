"""Change the code a little, many times, and see whether the tests notice.

    nox -s mutation                                  # the four packages, 100 mutants each
    nox -s mutation -- filters --sample 20 --seed 7

Each mutant is made in a copy of the last commit, and the tests that run its line are run on it,
two copies at a time. The report lists the mutants that no test noticed. Some of them change
nothing that can be observed; a person has to look at each.
"""

from __future__ import annotations

import argparse
import queue
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.mutation.covering import CoveringTests, environment, measure
from tools.mutation.mutants import Mutant, sample

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("catalog", "search", "filters", "images")
FIRST = 30
"""Tests that are run at first: most mutants are noticed by them."""
MOST = 400
"""Tests that are run at most."""
ALWAYS = ("tests/test_structure.py::test_values_do_not_change",)
"""Tests that read the source, and run none of its lines."""
SECONDS = 240
"""A mutant whose tests take longer counts as noticed: it made a loop endless."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE")
    parser.add_argument("--sample", type=int, default=100, help="mutants of each package")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=0.85, help="share that must be noticed")
    parser.add_argument("--coverage", type=Path, help="folder that keeps the map of the tests")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onnxsearch-mutation-") as temporary:
        work = Path(temporary)
        copies = [copy(work / f"copy-{number}") for number in range(2)]
        data = measured(arguments.coverage or work, copies[0])
        tests = CoveringTests(data)
        shares = [
            campaign(package, copies, tests, work, arguments.sample, arguments.seed)
            for package in arguments.packages
        ]
    return int(min(shares) < arguments.least)


def copy(folder: Path) -> Path:
    """Check the last commit out into a folder."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    return folder.resolve()


def measured(folder: Path, checkout: Path) -> Path:
    known = folder / "coverage"
    return known if known.exists() else measure(checkout, folder)


def campaign(
    package: str,
    copies: Sequence[Path],
    tests: CoveringTests,
    work: Path,
    size: int,
    seed: int,
) -> float:
    """Try a sample of a package's mutants, print the survivors, return the share noticed."""
    free: queue.Queue[Path] = queue.Queue()
    for checkout in copies:
        free.put(checkout)

    def noticed(mutant: Mutant) -> bool:
        checkout = free.get()
        try:
            return is_noticed(mutant, checkout, tests.of(mutant))
        finally:
            subprocess.run(["git", "checkout", "-q", "--", "."], cwd=checkout, check=True)
            free.put(checkout)

    mutants = sample(copies[0], package, size, seed, work / f"{package}.sqlite")
    counts: Counter[bool] = Counter()
    with ThreadPoolExecutor(len(copies)) as pool:
        for mutant, killed in zip(mutants, pool.map(noticed, mutants), strict=True):
            counts[killed] += 1
            if not killed:
                print(f"  survived: {mutant}", flush=True)
    share = counts[True] / max(1, counts.total())
    print(f"{package}: {counts[True]} of {counts.total()} noticed ({share:.0%})", flush=True)
    return share


def is_noticed(mutant: Mutant, checkout: Path, tests: Sequence[str]) -> bool:
    """Say whether a test fails on the mutant."""
    mutant.apply(checkout)
    parts = ([*ALWAYS, *tests[:FIRST]], tests[FIRST:MOST])
    return any(fails(checkout, part) for part in parts if part)


def fails(checkout: Path, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        result = subprocess.run(
            command,
            cwd=checkout,
            env=environment(checkout),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return result.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
