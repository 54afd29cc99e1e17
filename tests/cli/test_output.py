"""What the command line makes of odd names and long lists."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from onnxsearch import Hit, IndexReport, Metric, Outcome, SearchResults, Status
from onnxsearch.cli import output


@given(st.text(st.characters(), max_size=50))
def test_what_is_printed_is_printable(text: str) -> None:
    shown = output.printable(text)
    shown.encode("utf-8")
    assert not any(ord(character) < 32 or ord(character) == 127 for character in shown)
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("red\x1b[31m.jpg", r"red\x1b[31m.jpg"),
        ("two\nlines.jpg", r"two\nlines.jpg"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        (os.fsdecode(b"latin-\xe9.jpg"), r"latin-\udce9.jpg"),
        ("Foto 10.00\u202fPM ü.png", "Foto 10.00\u202fPM ü.png"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert output.printable(name) == shown


def test_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert output.short_path(str(tmp_path / "a" / "b.jpg")) == os.path.join("a", "b.jpg")
    assert output.short_path(os.path.abspath(os.sep)) == os.path.abspath(os.sep)
    assert output.short_path("s3://bucket/b.jpg") == "s3://bucket/b.jpg"


def results(*uris: str | None) -> SearchResults:
    hits = tuple(
        Hit(f"id-{n}", uri, distance=n / 10, score=1.0, metadata={"n": n}, model="fake")
        for n, uri in enumerate(uris)
    )
    return SearchResults(hits, "fake", Metric.L2)


def test_results_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    long = "/" + "very-long-name/" * 30 + "x.jpg"
    output.print_results(results("/[bold]/:smile:.jpg", None, long))
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["#", "distance", "file"]
    assert [row.split() for row in rows] == [
        ["1", "0.0000", "/[bold]/:smile:.jpg"],
        ["2", "0.1000", "id-1"],
        ["3", "0.2000", long],
    ]


def test_no_results(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_results(results(), is_empty=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "onnxsearch index" in captured.err


def failed(count: int) -> IndexReport:
    broken = [Outcome(f"/x/{n}.jpg", Status.BROKEN, error=f"reason {n}") for n in range(count)]
    return IndexReport([Outcome("/x/good.jpg", Status.INDEXED, id="good"), *broken], 1.25)


def test_report_tells_of_the_first_failures(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_report(failed(25), "http://user:secret@db:19530")
    first, *failures, last = capsys.readouterr().out.splitlines()
    assert first == "1 indexed, 25 broken in 1.2 s, index at http://***@db:19530"
    assert len(failures) == output.SHOWN_FAILURES
    assert failures[0].split() == ["broken", "/x/0.jpg:", "reason", "0"]
    assert "5 more" in last


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(output.report_as_json(failed(25), "album"))
    report = json.loads(capsys.readouterr().out)
    assert len(report["outcomes"]) == 26
    assert report["counts"]["broken"] == 25
    assert report["location"] == "album"
    odd = os.fsdecode(b"/latin-\xe9.jpg")
    output.print_json(output.results_as_json(results(odd)))
    printed = capsys.readouterr().out
    assert printed.isascii()
    (hit,) = json.loads(printed)["hits"]
    assert hit == {
        "id": "id-0",
        "uri": odd,
        "distance": 0.0,
        "score": 1.0,
        "metadata": {"n": 0},
        "model": "fake",
        "similarity": None,
        "rerank_score": None,
        "region": None,
    }
