"""The page on the architecture names what is in the source, and all of it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "onnxsearch"
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
PLACES = (ROOT, PACKAGE)
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without their backquotes."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


def tree() -> list[str]:
    """Return the paths in the drawn tree, relative to the package."""
    block = PAGE.split("```text\nsrc/onnxsearch/\n")[1].split("```")[0]
    parents: list[str] = []
    paths = []
    for line in block.splitlines():
        if line.strip():
            name = line.split()[0]
            depth = (len(line) - len(line.lstrip())) // 2 - 1
            parents[depth:] = [name]
            paths.append("".join(parents))
    return paths


def definitions(module: ast.Module | ast.ClassDef, owner: str = "") -> Iterator[str]:
    """Yield the names that a module defines, those of a class after its name and a dot."""
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield owner + node.name
        if isinstance(node, ast.ClassDef):
            yield from definitions(node, f"{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (owner + target.id for target in targets if isinstance(target, ast.Name))


BEHAVIOURS = table("Where is it?")


def test_enough_behaviours_are_told() -> None:
    assert len(BEHAVIOURS) >= 25


@pytest.mark.parametrize(("module", "name"), [row[1:] for row in BEHAVIOURS])
def test_a_behaviour_is_where_the_table_says(module: str, name: str) -> None:
    source = (PACKAGE / module).read_text("utf-8")
    assert name in set(definitions(ast.parse(source)))


def test_the_tree_shows_what_there_is() -> None:
    assert [path for path in tree() if not (PACKAGE / path).exists()] == []


def test_the_tree_shows_each_place_once() -> None:
    assert [path for path, number in Counter(tree()).items() if number > 1] == []


def test_the_tree_shows_every_package() -> None:
    packages = {folder(path.parent) for path in PACKAGE.rglob("__init__.py")}
    assert packages - {folder(PACKAGE)} - set(tree()) == set()


def test_the_tree_shows_every_module_of_the_packages_that_it_opens() -> None:
    shown = tree()
    opened = {PACKAGE / path.rpartition("/")[0] for path in shown if path.endswith(".py")}
    modules = [path for package in opened for path in package.glob("*.py")]
    modules = [path for path in modules if path.name != "__init__.py"]
    assert {path.relative_to(PACKAGE).as_posix() for path in modules} - set(shown) == set()


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = contracts["tool"]["importlinter"]["contracts"][0]["layers"]
    assert PAGE.split("## The layers\n")[1].split("```")[1].split("\n")[1:-1] == layers


def folder(path: Path) -> str:
    return f"{path.relative_to(PACKAGE).as_posix()}/"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_files_named_in_prose_exist(page: Path) -> None:
    named = re.findall(r"`([\w./-]+/[\w-]+\.\w+)`", page.read_text("utf-8"))
    tops = {path.name for place in PLACES for path in place.iterdir() if path.is_dir()}
    ours = [name for name in named if name.split("/")[0] in tops]
    assert [name for name in ours if not any((place / name).exists() for place in PLACES)] == []
