"""Stores and embedders of other packages, found by their entry points.

An entry point is only looked up when a caller writes a name that nothing of this package has,
and only that one is loaded. Names of this package are never looked up, so that no other package
can take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from onnxsearch.errors import OnnxSearchError, PluginError

T = TypeVar("T")

VECTORS = "onnxsearch.vectors"
"""Entry points that are called with a URL, and return a `VectorStore`. Their names are schemes."""
METADATA = "onnxsearch.metadata"
"""Entry points that are called with a URL, and return a `MetadataStore`."""
EMBEDDERS = "onnxsearch.embedders"
"""Entry points that are called with a text or nothing, and return an `Embedder`."""


def plugin_names(group: str) -> list[str]:
    """Return the names that other packages have registered in a group; none is loaded."""
    return sorted({entry.name for entry in entry_points(group=group)})


def owners(group: str) -> list[tuple[str, str]]:
    """Return each name in a group, in lower case, with the package that has registered it."""
    return [(entry.name.lower(), _owner(entry)) for entry in entry_points(group=group)]


def has_plugin(group: str, name: str) -> bool:
    """Return whether a package has registered a name in a group; it is not loaded."""
    return bool(_entries(group, name))


def made_by_plugin(group: str, name: str, kind: type[T], *arguments: str) -> T:
    """Return what the entry point of a name makes.

    Args:
        group: The group of entry points.
        name: The name in it, which has to be there.
        kind: What it has to make.
        arguments: What it is called with. They may hold secrets, and are in no message.

    Raises:
        PluginError: It cannot be loaded, fails, makes something else, or several packages
            have registered the name.
        OnnxSearchError: What it raises of ours.
    """
    entries = _entries(group, name)
    if len(entries) > 1:
        owners = " and ".join(sorted(map(_owner, entries)))
        raise PluginError(
            f"{name!r} is registered in {group} by {owners}: uninstall all of them but one"
        )
    (entry,) = entries
    what = f"{name!r}, which {_owner(entry)} has registered in {group} as {entry.value!r},"
    factory = _loaded(entry, what)
    try:
        made = factory(*arguments)
    except OnnxSearchError:
        raise
    except Exception as error:
        # Not its text, which may repeat a password of the URL.
        raise PluginError(
            f"{what} failed with {type(error).__name__}: see the cause of this error, and ask "
            "the authors of that package"
        ) from error
    if not isinstance(made, kind):
        raise PluginError(
            f"{what} has made a {type(made).__name__}: expected a {kind.__name__}. Ask the "
            "authors of that package"
        )
    return made


def _loaded(entry: EntryPoint, what: str) -> Callable[..., object]:
    try:
        factory = entry.load()
    except Exception as error:
        raise PluginError(
            f"{what} cannot be imported: {type(error).__name__}: {error}. Install that package "
            "again, in a release for this onnxsearch, or uninstall it"
        ) from error
    if not callable(factory):
        raise PluginError(f"{what} is a {type(factory).__name__}: expected a class or a function")
    result: Callable[..., object] = factory
    return result


def _entries(group: str, name: str) -> list[EntryPoint]:
    found = entry_points(group=group)
    return [entry for entry in found if entry.name.lower() == name.lower()]


def _owner(entry: EntryPoint) -> str:
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
