"""Decisions on duplicates as files: the format that the review page exports too."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import NamedTuple

from onnxsearch.reporting.labels import valid

FORMAT = "onnxsearch duplicate decisions"
VERSION = 1

_COLUMNS = ("group", "id", "path", "decision")
_FORMULA = "=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20"
"""A spreadsheet takes text for a formula that begins with one of them; `'` makes it text (OWASP,
"CSV Injection"); the last four are wide forms of the first. A `'` at the beginning gets another
one, so that the first can always go."""


class Decision(NamedTuple):
    """What becomes of an image."""

    group: int
    """The number of the group, from 1."""
    id: str
    path: str | None
    """The file; None for an image that has none."""
    decision: str
    """`keep`, `remove` or `undecided`."""


def decisions_json(decisions: Iterable[Decision]) -> str:
    """Return the decisions as JSON in ASCII, which keeps every file name as it is."""
    rows = [each._asdict() for each in decisions]
    return json.dumps({"format": FORMAT, "version": VERSION, "decisions": rows}, indent=1) + "\n"


def decisions_csv(decisions: Iterable[Decision]) -> str:
    """Return the decisions as CSV that no spreadsheet takes for formulas."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for each in decisions:
        texts = (_harmless(each.id), _harmless(each.path or ""), each.decision)
        writer.writerow((each.group, *texts))
    return file.getvalue()


def _harmless(text: str) -> str:
    return f"'{valid(text)}" if text and text[0] in _FORMULA else valid(text)
