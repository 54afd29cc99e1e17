"""The command `verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from onnxsearch import JSONValue, VerifyReport
from onnxsearch.catalog.catalog import Catalog
from onnxsearch.catalog.integrity import verify as verify_catalog
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    AsJSON,
    Location,
    OldRecords,
    Records,
    check_indexed,
    errors_end_the_command,
    records_of,
)
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.locations import open_stores

_SHOWN = 20
_EXIT_CODES = """Exit codes: 0 no defect, or all repaired; 1 an error, described on standard
error; 2 wrong usage; 3 defects were found.""".replace("\n", " ")


@app.command(epilog=_EXIT_CODES)
def verify(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Also repair defects; what cannot be read is removed."),
    ] = False,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    as_json: AsJSON = False,
) -> None:
    """Check every vector against the records, and every record against the vectors.

    The index may be in use meanwhile.
    """
    place = records_of(location, records, metadata)
    with errors_end_the_command():
        check_indexed(location, place)
        # No engine: a check needs no model, and should not wait for one to load.
        vectors, store = open_stores(location, place)
        with vectors, store:
            report = verify_catalog(Catalog(vectors, store, DEFAULT_NAMESPACE), repair=repair)
    if as_json:
        output.print_json(_as_json(report))
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(3)


def _as_json(report: VerifyReport) -> dict[str, JSONValue]:
    return {
        "ok": report.ok,
        "repaired": report.repaired,
        "records": report.records,
        "vectors": dict(report.vectors),
        "counts": {defect.value: number for defect, number in report.counts.items()},
        "findings": [asdict(finding) for finding in report.findings],
    }


def _print(report: VerifyReport) -> None:
    vectors = sum(report.vectors.values())
    output.print_line(f"{report.records} records, {vectors} vectors")
    for defect, number in report.counts.items():
        if number:
            output.print_line(f"{number} x {defect.value}{', mended' if report.repaired else ''}")
    for finding in report.findings[:_SHOWN]:
        where = f" in {finding.collection}" if finding.collection else ""
        output.print_line(f"  {finding.defect.value}: {finding.id or finding.key}{where}")
    if not any(report.counts.values()):
        output.print_line("all is well")
    elif not report.repaired:
        output.print_line("mend it with: onnxsearch verify --repair")
