"""The application, and the command `index`. Commands talk to the facade only; `output` prints."""

from __future__ import annotations

from typing import Annotated

import typer

import onnxsearch
from onnxsearch.cli import output
from onnxsearch.cli.embedders import (
    Layouts,
    ModelOptions,
    Models,
    Names,
    Outputs,
    Poolings,
    Profiles,
    Regions,
    TextModels,
    TextProfiles,
    Tokenizers,
)
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    Excludes,
    IncludeHidden,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    Root,
    errors_end_the_command,
    records_of,
)
from onnxsearch.cli.sources import (
    AllowPrivate,
    Download,
    Every,
    IdColumn,
    ImageColumn,
    ImageRoot,
    Scenes,
    SourceArgument,
    SourceOptions,
)
from onnxsearch.cli.stored_models import filling

app = typer.Typer(
    help="Find similar images.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    source: SourceArgument,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model: Models = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    text_model: TextModels = None,
    tokenizer: Tokenizers = None,
    text_profile: TextProfiles = None,
    regions: Regions = False,
    model_path: ModelPaths = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove entries whose files are gone from the folder.")
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="With --prune: even if the folder is empty or gone."),
    ] = False,
    exclude: Excludes = None,
    include_hidden: IncludeHidden = False,
    root: Root = None,
    image_column: ImageColumn = None,
    id_column: IdColumn = None,
    image_root: ImageRoot = None,
    download: Download = False,
    allow_private: AllowPrivate = False,
    every: Every = None,
    scenes: Scenes = None,
    as_json: AsJSON = False,
) -> None:
    """Index the images of a source. A second run over a folder does only what is left."""
    reading = SourceOptions(
        prune=prune,
        allow_empty=allow_empty,
        exclude=tuple(exclude or ()),
        include_hidden=include_hidden,
        root=root,
        image_column=image_column,
        id_column=id_column,
        image_root=image_root,
        download=download,
        allow_private=allow_private,
        every=every,
        scenes=scenes,
    )
    options = ModelOptions(
        model,
        profile,
        name,
        model_output,
        pooling,
        layout,
        text_model,
        tokenizer,
        text_profile,
        regions,
    )
    place = records_of(location, records, metadata)
    with errors_end_the_command(), output.interruption_noted():
        opened = reading.open(source)  # before an index is made that a mistake leaves empty
        with (
            filling(options, location, place, model_path) as engine,
            output.progress_bar() as progress,
        ):
            report = reading.index(engine, opened, progress)
    if as_json:
        output.print_json(output.report_as_json(report, location))
    else:
        output.print_report(report, location)
    if report.failures:
        raise typer.Exit(3)
