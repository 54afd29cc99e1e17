"""The command `advise`."""

from __future__ import annotations

from typing import Annotated

import typer

from onnxsearch import Advice, JSONValue, SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import known_models
from onnxsearch.cli.labels import LabelField, LabelOptions, LabelsFile, UnknownLabels
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Location,
    ModelPaths,
    Records,
    check_indexed,
    errors_end_the_command,
    records_of,
)


@app.command(epilog=EXIT_CODES)
def advise(
    labels: LabelField = None,
    labels_file: LabelsFile = None,
    unknown: UnknownLabels = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model of the plain search, by its name in the index. Default: the first one.",
            autocompletion=known_models,
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            help="What is improved: mean_average_precision, ndcg, or precision@k or recall@k for "
            "k 1, 5 and 10.",
        ),
    ] = "mean_average_precision",
    queries: Annotated[
        int, typer.Option("--queries", min=4, help="Images that are searched for, at most.")
    ] = 1000,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Try settings of searches on labelled images, and report what pays."""
    place = records_of(location, records)
    with errors_end_the_command(), output.interruption_noted():
        check_indexed(location, place)
        with SearchEngine.open(location, records=place, model_path=model_path) as engine:
            known = LabelOptions(labels, labels_file, unknown or ()).of(engine)
            advice = engine.advise(known, model, metric=metric, queries=queries)
    if as_json:
        output.print_json(_as_json(advice))
    else:
        output.print_line(str(advice))


def _as_json(advice: Advice) -> dict[str, JSONValue]:
    return {
        "call": advice.call,
        "metric": advice.metric,
        "chosen_by": advice.chosen_by,
        "measured_on": advice.measured_on,
        "tried": advice.to_dicts(),
        "untried": dict(advice.untried),
    }
