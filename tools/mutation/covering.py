"""Which tests run a line, from one run of the suite under coverage."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from coverage import CoverageData

from tools.mutation.mutants import Mutant

_SETTINGS = """\
[run]
branch = false
source_pkgs = onnxsearch
parallel = true
relative_files = true
"""


def measure(checkout: Path, work: Path) -> Path:
    """Run the fast suite once, and return the file that knows the tests of each line."""
    data, settings = work / "coverage", work / "coveragerc"
    settings.write_text(f"{_SETTINGS}data_file = {data}\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests"),
            *("--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report="),
        ],
        cwd=checkout,
        env=environment(checkout),
        check=True,
    )
    subprocess.run(
        [sys.executable, "-m", "coverage", "combine", f"--rcfile={settings}", "-q"],
        cwd=checkout,
        check=False,
    )
    return data


def environment(checkout: Path) -> dict[str, str]:
    """Return the environment in which the tests import the checkout, without compiled files.

    Python would take a compiled file for current if a mutant has the size and the second of the
    source it was compiled from.
    """
    return os.environ | {
        "CI": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(checkout / "src"),
    }


class CoveringTests:
    """The tests that run a line; of a line that only imports run, those that run its file.

    Args:
        data: What `measure` returned.
    """

    def __init__(self, data: Path) -> None:
        self._data = CoverageData(str(data))
        self._data.read()

    def of(self, mutant: Mutant) -> list[str]:
        """Return ids of tests, those first whose names say that they are about the file."""
        contexts = self._data.contexts_by_lineno(mutant.path)
        tests = _names(contexts.get(mutant.line, []))
        if not tests:
            tests = _names(context for line in contexts.values() for context in line)
        drawn = sorted(tests)
        random.Random(str(mutant)).shuffle(drawn)
        words = Path(mutant.path).with_suffix("").parts[:1:-1]
        return sorted(drawn, key=lambda test: [word not in test for word in words])


def _names(contexts: object) -> set[str]:
    assert hasattr(contexts, "__iter__")
    tests = {context.rpartition("|")[0] for context in contexts if context}
    # Code blocks of a page need those before them.
    return {test for test in tests if test.startswith("tests/")}
