"""The commands. They talk to the facade only; `output` prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import onnxsearch
from onnxsearch import (
    Embedder,
    InvalidArgumentError,
    OnnxEmbedder,
    OnnxSearchError,
    SearchEngine,
)
from onnxsearch.cli import output

DEFAULT_LOCATION = ".onnxsearch"

EXIT_CODES = """Exit codes: 0 all went well; 1 an error, told on standard error; 2 wrong usage;
3 finished, but some files could not be indexed; 130 interrupted.""".replace("\n", " ")

app = typer.Typer(
    help="Find similar images.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Location = Annotated[
    str,
    typer.Option(
        "--location",
        "-l",
        envvar=["ONNXSEARCH_LOCATION", "MILVUS_URI"],
        help="A folder, a Milvus Lite file (x.db), or the http(s):// address of a Milvus server.",
    ),
]
Records = Annotated[
    str | None,
    typer.Option(
        "--metadata",
        envvar=["ONNXSEARCH_METADATA", "REDIS_URL"],
        help="A redis:// URL or an SQLite file for the records. Default: SQLite at the location.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(help="How to preprocess pictures for a model from a file: keras-caffe, ..."),
]
AsJSON = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, to stdout.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(onnxsearch.__version__)
        raise typer.Exit


@app.callback(epilog=EXIT_CODES)
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Find similar images."""
    del version


@app.command(epilog=EXIT_CODES)
def index(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of pictures, or one picture.")
    ],
    location: Location = DEFAULT_LOCATION,
    metadata: Records = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A bundled model's name, or an .onnx file; repeatable."),
    ] = None,
    profile: Profile = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take out entries whose files are gone from DIR.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Index the pictures in DIR and below. Running it again does only what is left."""
    with (
        errors_end_the_command(),
        SearchEngine.open(
            location, embedders=embedders_of(model, profile), metadata=metadata
        ) as engine,
        output.progress_bar() as progress,
    ):
        report = engine.index(source, progress=progress, prune=prune)
    if as_json:
        output.print_json(output.report_as_json(report, location))
    else:
        output.print_report(report, location)
    if report.failures:
        raise typer.Exit(3)


@app.command(epilog=EXIT_CODES)
def search(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to compare with.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Pictures to show.")] = 10,
    location: Location = DEFAULT_LOCATION,
    metadata: Records = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The model to ask, as it was given to index."),
    ] = None,
    profile: Profile = None,
    as_json: AsJSON = False,
) -> None:
    """Show the indexed pictures that look most like IMAGE, nearest first."""
    with errors_end_the_command():
        check_indexed(location)
        embedders = embedders_of([model] if model else None, profile)
        with SearchEngine.open(location, embedders=embedders, metadata=metadata) as engine:
            results = engine.search(image, limit=limit)
    if as_json:
        output.print_json(output.results_as_json(results))
    else:
        output.print_results(results)


def embedders_of(models: Sequence[str] | None, profile: str | None) -> list[Embedder] | None:
    """Return the models that the options name; None stands for the default one."""
    if not models:
        if profile:
            raise InvalidArgumentError(
                "--profile is for models from files: name the file with --model, or leave it out"
            )
        return None
    return [_embedder(model, profile) for model in models]


def _embedder(model: str, profile: str | None) -> Embedder:
    if model.endswith(".onnx") or os.path.exists(model):
        return OnnxEmbedder(model, profile=profile)
    return OnnxEmbedder.bundled(model)


def check_indexed(location: str) -> None:
    """Refuse a location where nothing is."""
    # Opening would make an empty index, and the search find nothing in it.
    if "://" not in location and not os.path.exists(location):
        raise InvalidArgumentError(
            f"there is no index at {location!r}: make one with `onnxsearch index DIR`, or say "
            "with --location where it is"
        )


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Print an error of ours instead of a traceback, and exit with 1."""
    try:
        yield
    except OnnxSearchError as error:
        output.print_error(str(error))
        raise typer.Exit(1) from error
