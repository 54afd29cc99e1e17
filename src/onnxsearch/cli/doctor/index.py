"""Which checks an index needs, by what its location means."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from onnxsearch.cli.doctor.checks import Check, CheckResult, error, ok
from onnxsearch.cli.doctor.databases import RECORDS, VECTORS, database
from onnxsearch.cli.doctor.filesystem import disk, network, rights
from onnxsearch.cli.doctor.lite import lite
from onnxsearch.cli.doctor.models import models
from onnxsearch.cli.doctor.servers import milvus, redis
from onnxsearch.locations import IndexParts, index_parts

_SHARE = 0.8
"""Share of the time of a check that one step of it may take, so that it can still report."""


def index_checks(
    location: str,
    records: str | None,
    *,
    must_exist: bool,
    places: Sequence[Path],
    given: Sequence[str],
    patience: float,
) -> list[Check]:
    """Return the checks of the index at a location.

    Args:
        location: Where the vectors are.
        records: Where the records are; None for beside them.
        must_exist: Whether an index that is not there is an error.
        places: Where models are looked for.
        given: Models that the caller asks about.
        patience: Seconds that a check may take.

    Raises:
        InvalidArgumentError: An argument is neither a path nor a URL.
    """
    parts, share = index_parts(location, records), patience * _SHARE
    files = [part for part in parts if isinstance(part, Path) and os.path.exists(part)]
    checks = [Check("index", partial(_missing, parts, must_exist))]
    if isinstance(parts.vectors, str):
        checks.append(Check("milvus", partial(milvus, parts.vectors, share)))
    elif parts.vectors in files:
        checks.append(_of_vectors(parts.vectors, share))
    if isinstance(parts.records, str):
        checks.append(Check("redis", partial(redis, parts.records, share)))
    elif parts.records in files:
        checks.append(Check(RECORDS.check, partial(database, parts.records, RECORDS, share)))
    if files:
        checks += [
            Check("files.rights", partial(rights, files)),
            Check("files.disk", partial(disk, files)),
            Check("files.network", partial(network, files)),
        ]
    if isinstance(parts.records, str) or parts.records in files:
        checks.append(Check("models", partial(models, parts.records, places, given, share)))
    return checks


def _of_vectors(path: Path, patience: float) -> Check:
    if path.suffix == ".db":
        return Check("lite", partial(lite, path))
    return Check(VECTORS.check, partial(database, path, VECTORS, patience))


def _missing(parts: IndexParts, must_exist: bool) -> Iterator[CheckResult]:
    gone = [part for part in parts if isinstance(part, Path) and not os.path.exists(part)]
    if parts.records is None:
        found = "the vectors are on a server, and nothing says where the records are"
        yield error("index", found, "add --records redis://host:6379/0, or the path of a file")
    elif gone and (must_exist or len(gone) < sum(isinstance(part, Path) for part in parts)):
        found = f"there is no {' and no '.join(repr(str(part)) for part in gone)}"
        yield error("index", found, "correct the location, or make it: onnxsearch index DIR")
    elif gone:
        yield ok("index", f"there is no index at {str(gone[0].parent)!r} yet")
