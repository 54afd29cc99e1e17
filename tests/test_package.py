"""The face of the package: what it exports, and what importing it costs."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import onnxsearch

HEAVY = {"numpy", "onnxruntime", "pandas", "PIL", "pymilvus", "redis", "rich", "typer"}


def names_for_type_checkers() -> dict[str, str]:
    """Return the names imported under `if TYPE_CHECKING:`, each with its module."""
    tree = ast.parse(Path(onnxsearch.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: f"{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_exports_agree() -> None:
    seen = names_for_type_checkers()
    assert {*seen, "__version__"} == set(onnxsearch.__all__)
    for name, module in seen.items():
        assert getattr(onnxsearch, name) is getattr(import_module(module), name)
    assert set(onnxsearch.__all__) <= set(dir(onnxsearch))


def test_every_error_is_exported() -> None:
    from onnxsearch import errors

    ours = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert ours <= set(onnxsearch.__all__)


def test_every_public_method_is_documented() -> None:
    bare = [
        f"{name}.{method}"
        for name in onnxsearch.__all__
        if isinstance(value := getattr(onnxsearch, name), type)
        for method, _ in inspect.getmembers(value, callable)
        if not method.startswith("_") and not inspect.getdoc(getattr(value, method))
    ]
    assert bare == []


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SearchMachine'"):
        _ = onnxsearch.SearchMachine  # type: ignore[attr-defined]


def loaded_by(statements: str) -> set[str]:
    program = f"{statements}; import sys; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_is_cheap() -> None:
    assert not HEAVY & loaded_by("import onnxsearch")
    assert not HEAVY & loaded_by("from onnxsearch import Progress, Status, StoreError")


@pytest.mark.parametrize("module", ["engine", "testing", "vectors.local", "metadata.sqlite"])
def test_what_needs_no_server_loads_no_client(module: str) -> None:
    clients = {"onnxruntime", "pandas", "pymilvus", "redis"}
    assert not clients & loaded_by(f"import onnxsearch.{module}")


def test_version_has_one_source() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.\w+)?", onnxsearch.__version__)
    assert metadata.version("onnxsearch") == onnxsearch.__version__


def imported_names(module: str) -> dict[str, str]:
    """Return what a module imports from ours or defines, by name, each with its module."""
    found = {}
    source = Path(import_module(module).__file__ or "").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onnxsearch"):
            found |= {alias.asname or alias.name: node.module or "" for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = module
    return found


def names_in(annotation: object) -> set[str]:
    # After a dot comes a name of another package, such as pyarrow's.
    found = re.findall(r"(?<![\w.])[A-Za-z_]\w*", annotation) if isinstance(annotation, str) else []
    return set(found)


def returned_annotations(value: type) -> set[str]:
    """Return the names in what public methods return, and in public fields and properties."""
    names: set[str] = set()
    for attribute, member in inspect.getmembers(value):
        if not attribute.startswith("_"):
            function = member.fget if isinstance(member, property) else member
            names |= names_in(getattr(function, "__annotations__", {}).get("return"))
    for attribute, annotation in inspect.get_annotations(value).items():
        if not attribute.startswith("_"):
            names |= names_in(annotation)
    # What a generic type stands for is not a type of its own.
    return names - {parameter.__name__ for parameter in getattr(value, "__parameters__", ())}


def test_every_returned_type_is_exported() -> None:
    from onnxsearch import errors, filters, testing

    public = {*onnxsearch.__all__, *errors.__all__, *filters.__all__, *testing.__all__}
    classes = [
        value
        for module in (onnxsearch, filters, testing)
        for name in module.__all__
        if isinstance(value := getattr(module, name), type)
    ]
    hidden = {
        f"{value.__module__}.{value.__name__}: {name}"
        for value in classes
        for name in returned_annotations(value)
        if name in imported_names(value.__module__) and name not in public
    }
    assert hidden == set()
