"""The mutants of a package, made by Cosmic Ray."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db

# `|` joins types in annotations, which are never evaluated, far more often than sets and filters.
# Equal numbers and names are mostly one object, so that `is` compares them as `==` does.
_EQUIVALENT = re.compile(
    "core/(ReplaceBinaryOperator_BitOr_|ReplaceComparisonOperator_(Eq_Is|NotEq_IsNot)$)"
)
_NEVER_RUN = "if TYPE_CHECKING:"


@dataclass(frozen=True)
class Mutant:
    """One change of one place of one file.

    Attributes:
        path: The file, relative to the checkout.
        line: Number of the changed line.
        operator: Name of the operator of Cosmic Ray.
        occurrence: Which of the places that the operator can change in the file.
    """

    path: str
    line: int
    operator: str
    occurrence: int

    def code(self, checkout: Path) -> str:
        """Return the changed text of the file."""
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        text = (checkout / self.path).read_text("utf-8")
        return str(mutate_code(text, operator, self.occurrence))

    def compiles(self, checkout: Path) -> bool:
        """Say whether the change is Python: some operators take `*names` for a product.

        An operator fails itself where an `except` names the attribute of a module.
        """
        try:
            with warnings.catch_warnings(action="ignore"):
                compile(self.code(checkout), self.path, "exec")
        except (SyntaxError, AttributeError):
            return False
        return True

    def apply(self, checkout: Path) -> None:
        """Write the change into the file."""
        (checkout / self.path).write_text(self.code(checkout), "utf-8")

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator.removeprefix('core/')}"


def sample(checkout: Path, package: str, size: int, seed: int, session: Path) -> list[Mutant]:
    """Draw mutants of a package at random, the same ones for the same seed."""
    modules = sorted((checkout / "src" / "onnxsearch" / package).rglob("*.py"))
    with use_db(str(session), WorkDB.Mode.create) as database:
        init(modules, database, {})
        found = sorted(_mutants(database, checkout), key=str)
    random.Random(seed).shuffle(found)
    tried = (each for each in found if _is_observable(each, checkout) and each.compiles(checkout))
    return list(islice(tried, size))


def _mutants(database: WorkDB, checkout: Path) -> Iterator[Mutant]:
    for item in database.work_items:
        (change,) = item.mutations
        path = Path(change.module_path).relative_to(checkout).as_posix()
        yield Mutant(path, change.start_pos[0], change.operator_name, change.occurrence)


def _is_observable(mutant: Mutant, checkout: Path) -> bool:
    """Say whether a test can notice the change, as far as its kind and its line tell."""
    line = (checkout / mutant.path).read_text("utf-8").splitlines()[mutant.line - 1]
    if line == _NEVER_RUN or _EQUIVALENT.match(mutant.operator):
        return False
    # `zip` then no longer checks that two sequences are equally long, and they are.
    return not (mutant.operator == "core/ReplaceTrueWithFalse" and "strict=True" in line)
