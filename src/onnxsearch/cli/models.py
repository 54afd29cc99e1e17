"""The commands about model files: `inspect` and `annotate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import EXIT_CODES, AsJSON, errors_end_the_command
from onnxsearch.embedders.onnx.inspection import (
    ModelReport,
    NodeReport,
    annotate_model,
    inspect_model,
)
from onnxsearch.types import JSONValue

SHOWN_OPTIONS = 6

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The model's file.")]


@app.command(epilog=EXIT_CODES)
def inspect(model: Model, as_json: AsJSON = False) -> None:
    """Report a model's inputs and outputs, and the OnnxEmbedder(...) call that loads it."""
    with errors_end_the_command():
        report = inspect_model(model)
    if as_json:
        output.print_json(report_as_json(report))
        return
    for line in _lines(report):
        output.print_line(line)


@app.command(epilog=EXIT_CODES)
def annotate(
    model: Model,
    profile: Annotated[
        str, typer.Option(help="How images were prepared in training: keras-caffe, ...")
    ],
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels of a side, if not those of the profile.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Write into a model's file how its images are prepared.

    After that, --profile is no longer needed. The file's fingerprint changes: images that
    were indexed with it before have to be indexed again.
    """
    with errors_end_the_command():
        written = annotate_model(model, profile, size)
    height, width = written.size
    if as_json:
        output.print_json({"path": str(model), "profile": written.name, "size": [height, width]})
        return
    output.print_line(f"{model}: profile {written.name}, {height} x {width} pixels, written")


def report_as_json(report: ModelReport) -> Mapping[str, JSONValue]:
    """Return what `inspect --json` prints."""
    document = asdict(report)
    profile = report.profile
    document["profile"] = profile and {
        "name": profile.name,
        "source": profile.source,
        "size": profile.size,
    }
    return document


def _lines(report: ModelReport) -> Iterator[str]:
    opsets = ", ".join(f"{domain} {version}" for domain, version in report.opsets.items())
    yield f"{report.path}  {report.bytes / 1e6:.1f} MB"
    yield f"  written by  {report.producer or 'a program that does not say'}"
    yield f"  format      IR {report.ir_version}, operators {opsets}"
    yield from _nodes("input", report.inputs)
    yield from _nodes("output", report.outputs)
    yield f"  takes       {report.kind}{f', {report.layout}' if report.layout else ''}"
    if report.profile is not None:
        height, width = report.profile.size
        yield (
            f"  profile     {report.profile.name}, {height} x {width} pixels, from "
            f"{report.profile.source}"
        )
    if report.output is not None:
        yield f"  vector      output {report.output!r}"
    for missing in report.missing:
        yield f"  missing     {missing.argument or 'to go on'}: {missing.reason}"
        if len(missing.options) > 1:
            shown = ", ".join(missing.options[:SHOWN_OPTIONS])
            more = " ..." if len(missing.options) > SHOWN_OPTIONS else ""
            yield f"              could be {shown}{more}"
    if report.call is not None:
        guessed = [each.argument for each in report.missing if each.options]
        yield ""
        if guessed:
            yield f"A suggestion; check {' and '.join(guessed)} against the model's documentation:"
        yield report.call


def _nodes(label: str, nodes: Sequence[NodeReport]) -> Iterator[str]:
    for node in nodes:
        shape = ", ".join("?" if size is None else str(size) for size in node.shape)
        yield f"  {label:<11} {node.name}: {node.type} ({shape})"
