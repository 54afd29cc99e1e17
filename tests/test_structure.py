"""The structure of the package: its size, its layers, and names that mean one thing."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import onnxsearch

ROOT = Path(onnxsearch.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

MOST_ENTRIES = 23
MOST_LINES = 300
MOST_LINES_OF_THE_FACADE = 600
"""One module holds all operations, of which most lines are signatures."""
MOST_STATEMENTS_OF_AN_OPERATION = 6
MOST_FILES_IN_A_CIRCLE = 2
CHANGING = {
    *("MemberSelection", "PreparedImage", "RecentImages", "Trials", "Writer"),
    *("Budget", "Form", "_Asked", "_Check", "_Counter", "_Fault", "_Search", "_Tar"),
}
"""Data classes with fields that change: work under way. All others are values."""


def test_the_package_has_few_entries() -> None:
    entries = {path.name for path in ROOT.iterdir()} - {
        *("__init__.py", "__main__.py", "__pycache__", "py.typed")
    }
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_imports_form_no_circle_of_more_than_two_files() -> None:
    imports = {name: set(_imported(name, path)) for name, path in MODULES.items()}
    circles = [circle for circle in _circles(imports) if len(circle) > MOST_FILES_IN_A_CIRCLE]
    assert not circles, "\n".join(map(" <-> ".join, circles))


def test_modules_stay_short() -> None:
    lines = {name: _lines_of_code(path) for name, path in MODULES.items()}
    limits = {"onnxsearch.engine": MOST_LINES_OF_THE_FACADE}
    assert {n: c for n, c in lines.items() if c > limits.get(n, MOST_LINES)} == {}


def test_the_facade_hands_each_operation_to_a_collaborator() -> None:
    (facade,) = (
        node
        for node in _tree(MODULES["onnxsearch.engine"]).body
        if isinstance(node, ast.ClassDef) and node.name == "SearchEngine"
    )
    statements = {
        method.name: sum(isinstance(node, ast.stmt) for node in ast.walk(method)) - 1
        for method in facade.body
        if isinstance(method, ast.FunctionDef) and method.name not in ("__init__", "open")
    }
    # A docstring is a statement too.
    most = MOST_STATEMENTS_OF_AN_OPERATION + 1
    assert {name: count for name, count in statements.items() if count > most} == {}


def test_no_two_classes_have_one_name() -> None:
    homes = defaultdict(list)
    for name, path in MODULES.items():
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(name)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_values_do_not_change() -> None:
    """Threads share them, and caches are right as long as they stay."""
    flags = {
        node.name: {key.arg: ast.literal_eval(key.value) for key in decorator.keywords}
        for path in MODULES.values()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "dataclass"
    }
    assert {name for name, given in flags.items() if not given.get("frozen")} == CHANGING
    # A misspelt attribute is an error then. A cached property needs a dictionary.
    unslotted = {name for name, given in flags.items() if not given.get("slots")}
    assert unslotted == {"Sketcher", "_Fault"}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(name: str, path: Path) -> Iterator[str]:
    """Yield the modules of the package that a module imports, anywhere in its text.

    Imports inside functions and for type checkers count like all others.
    """
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            # `from package import module` imports the module.
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [each if each in MODULES else node.module for each in inner]
        else:
            continue
        yield from (each for each in found if each in MODULES and each != name)


def _circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the sets of modules that all import each other, directly or not."""
    reached = {name: _reached(name, imports) for name in imports}
    circles = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in imports
        if name in reached[name]
    }
    return sorted(map(list, circles))


def _reached(start: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(imports[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(imports[name])
    return reached


def _lines_of_code(path: Path) -> int:
    """Return the number of lines with code: no docstrings, comments or blank lines."""
    text = path.read_text(encoding="utf-8")
    tree = _tree(path)
    strings: set[int] = set()
    for node in ast.walk(tree):
        # Docstrings, and the strings that document fields.
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            strings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        ):
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - strings)
