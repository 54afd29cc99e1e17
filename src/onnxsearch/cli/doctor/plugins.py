"""Checks of the stores and embedders that other packages bring; none of them is imported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from onnxsearch._internal.plugins import EMBEDDERS, METADATA, VECTORS, owners
from onnxsearch.cli.doctor.checks import CheckResult, error, ok

_CHECK = "plugins"


def plugins() -> Iterator[CheckResult]:
    """Find names that several packages have registered."""
    found: list[str] = []
    for group in (VECTORS, METADATA, EMBEDDERS):
        packages: defaultdict[str, list[str]] = defaultdict(list)
        for name, owner in owners(group):
            packages[name].append(owner)
        for name, several in sorted(packages.items()):
            found.append(f"{group} {name} of {several[0]}")
            if len(several) > 1:
                both = " and ".join(sorted(several))
                yield error(
                    _CHECK,
                    f"{name!r} is registered in {group} by {both}: neither is used",
                    "uninstall all of them but one",
                )
    yield ok(_CHECK, "; ".join(found) or "no package brings stores or embedders")
