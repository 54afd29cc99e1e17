"""The command `classify`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from onnxsearch import (
    Classification,
    Classifier,
    InvalidArgumentError,
    JSONValue,
    LinearProbe,
    NearestNeighbours,
    Prediction,
)
from onnxsearch._internal.tables import row
from onnxsearch._internal.validation import choice
from onnxsearch.classification.prompts import PROMPT
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import ModelOptions
from onnxsearch.cli.labels import LabelField, LabelOptions, LabelsFile, UnknownLabels
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    ComparedModel,
    FilterText,
    Location,
    ModelPaths,
    Records,
    errors_end_the_command,
    filter_of,
    records_of,
)
from onnxsearch.cli.stored_models import opened

_CLASSIFIERS: Mapping[str, Callable[[], Classifier]] = {
    "nearest": NearestNeighbours,
    "linear": LinearProbe,
}

_SHOWN: Mapping[str, Callable[[Classification], Sequence[Prediction]]] = {
    "unlabelled": lambda found: [each for each in found if each.known is None],
    "contradictions": lambda found: found.contradictions,
    "all": lambda found: found.predictions,
}

_NAMES = {
    "unlabelled": "image without a label",
    "contradictions": "image that looks like another class than its label says",
    "all": "image",
}
"""What messages call one of them."""


@app.command(epilog=EXIT_CODES)
def classify(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...",
            help="Labels in words, for a model that has a text tower. Without words, the images "
            "whose label is known are examples.",
        ),
    ] = None,
    labels: LabelField = None,
    labels_file: LabelsFile = None,
    unknown: UnknownLabels = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="TEXT",
            help=f'With words: what they are put into. [default: "{PROMPT}"]',
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            "--classifier",
            metavar="NAME",
            help="Without words: how to learn from the examples, nearest (neighbours) or linear "
            "(regression; needs the extra sklearn). [default: nearest]",
        ),
    ] = None,
    show: Annotated[
        str,
        typer.Option(
            "--show",
            metavar="WHICH",
            help="unlabelled: images whose label is unknown; contradictions: those that look like "
            "another class than their label says; all.",
        ),
    ] = "unlabelled",
    least: Annotated[
        float,
        typer.Option("--least", min=0, max=1, help="Leave out predictions that are less probable."),
    ] = 0.0,
    filter: FilterText = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    model: ComparedModel = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Show which class each image belongs to: by examples whose label is known, or by words.

    Examples are the indexed images in folders of different names, except those of --unknown.
    Nothing is changed.
    """
    options, place = ModelOptions([model] if model else None), records_of(location, records)
    known = LabelOptions(labels, labels_file, unknown or ())
    with errors_end_the_command(), output.interruption_noted():
        wanted = filter_of(filter)
        chosen = _SHOWN[choice("--show", show, _SHOWN)]
        _check_options(words, prompt, classifier)
        learnt = None if classifier is None else choice("--classifier", classifier, _CLASSIFIERS)
        with opened(options, location, place, model_path) as (engine, searched):
            if words:
                found = engine.classify(
                    words,
                    searched.name,
                    prompt=PROMPT if prompt is None else prompt,
                    known=known.of(engine) if known.are_given else None,
                    filter=wanted,
                )
            else:
                found = engine.classify_by_examples(
                    known.of(engine),
                    searched.name,
                    classifier=None if learnt is None else _CLASSIFIERS[learnt](),
                    filter=wanted,
                )
    shown = [each for each in chosen(found) if each.probability >= least]
    if as_json:
        output.print_json(_as_json(found, shown))
        return
    _print(shown)
    if not shown:
        output.print_note(f"no {_NAMES[show]} to show: --show all shows all images")
    _note(found)


def _check_options(words: Sequence[str] | None, prompt: str | None, classifier: str | None) -> None:
    """Refuse options that do nothing with words, or without them.

    Raises:
        InvalidArgumentError: There is one.
    """
    if words and classifier is not None:
        raise InvalidArgumentError("--classifier learns from examples: leave it out, or the words")
    if prompt is not None and not words:
        raise InvalidArgumentError("--prompt does nothing without words")


def _print(shown: Sequence[Prediction]) -> None:
    """Print a table: probability, label, the known label where there are some, file."""
    if not shown:
        return
    columns = {
        "probability": [f"{each.probability:.0%}" for each in shown],
        "label": [str(each.label) for each in shown],
    }
    if any(each.known is not None for each in shown):
        columns["known"] = ["" if each.known is None else str(each.known) for each in shown]
    columns["file"] = [output.image_name(each.id, each.uri) for each in shown]
    widths = [max(map(len, (title, *cells))) for title, cells in columns.items()][:-1]
    for number, (first, *others, file) in enumerate(
        [[*columns], *zip(*columns.values(), strict=True)]
    ):
        middle = (f"{cell:<{width}}" for cell, width in zip(others, widths[1:], strict=True))
        line = "  ".join([f"{first:>{widths[0]}}", *middle, file])
        output.print_line(line, style="" if number else "bold")


def _note(found: Classification) -> None:
    """Say on standard error how good the predictions are, and which labels may be wrong."""
    if found.calibration is None:
        output.print_note("probabilities are not calibrated: no image has a known label")
        return
    output.print_note(str(found.calibration))
    if count := len(found.contradictions):
        output.print_note(
            f"{count:,} images look like another class than their label says: --show contradictions"
        )


def _as_json(found: Classification, shown: Sequence[Prediction]) -> dict[str, JSONValue]:
    return {
        "model": found.model,
        "labels": list(found.labels),
        "calibration": None if found.calibration is None else asdict(found.calibration),
        "predictions": [row(each) for each in shown],
    }
