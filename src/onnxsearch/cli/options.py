"""The options of more than one command, and the exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import (
    F,
    Filter,
    ImageNotFoundError,
    InvalidArgumentError,
    OnnxSearchError,
)
from onnxsearch._internal.paths import absolute_path
from onnxsearch.cli import output
from onnxsearch.locations import missing_files

DEFAULT_LOCATION = ".onnxsearch"

EXIT_CODES = """Exit codes: 0 success; 1 an error, described on standard error; 2 wrong usage;
3 finished, but some images could not be read; 130 interrupted; 141 the reader of the output
has left.""".replace("\n", " ")

Location = Annotated[
    str,
    typer.Option(
        "--location",
        "-l",
        envvar=["ONNXSEARCH_LOCATION", "MILVUS_URI"],
        help="A folder, a Milvus Lite file (x.db), or the http(s):// address of a Milvus server.",
    ),
]
LocationArgument = Annotated[
    str,
    typer.Argument(
        metavar="[LOCATION]",
        envvar=["ONNXSEARCH_LOCATION", "MILVUS_URI"],
        help="The index: a folder, a Milvus Lite file (x.db), or the address of a Milvus server.",
    ),
]
Records = Annotated[
    str | None,
    typer.Option(
        "--records",
        envvar="ONNXSEARCH_RECORDS",
        help="A redis:// URL or an SQLite file for the records. Default: SQLite at the location; "
        "for a server, the variable REDIS_URL.",
    ),
]
OldRecords = Annotated[
    str | None,
    typer.Option("--metadata", envvar="ONNXSEARCH_METADATA", hidden=True),
]
ComparedModel = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="The model to compare with: its name in the index, or its file."
    ),
]
ModelPaths = Annotated[
    list[str] | None,
    typer.Option(
        "--model-path",
        metavar="PATH",
        help="A file, or a folder with all below it, where models are that the index remembers "
        "elsewhere; repeatable. Also in the variable ONNXSEARCH_MODELS.",
    ),
]
Excludes = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Skip files and folders that match, as in a .gitignore file; repeatable.",
    ),
]
IncludeHidden = Annotated[
    bool, typer.Option("--include-hidden", help="Also index names that begin with a dot.")
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Store paths relative to this folder, so that it can be moved.",
    ),
]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", min=1, help="Pixels of an image; each takes 4 bytes.")
]
FilterText = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only images whose metadata match, such as \"price < 20 and tags contains 'cup'\".",
    ),
]
AsJSON = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and nothing else, to stdout.")
]


def records_of(location: str, records: str | None, metadata: str | None = None) -> str | None:
    """Return where the records are; None stands for a file at the location.

    Args:
        location: Where the vectors are.
        records: What `--records` says.
        metadata: What `--metadata` says, its former name.
    """
    if records is None and metadata is not None:
        output.print_note(
            "--metadata and ONNXSEARCH_METADATA are now --records and ONNXSEARCH_RECORDS; the old "
            "names will be removed"
        )
        return metadata
    # An index in a folder has its records beside it, whatever the shell has set for others.
    if records is None and "://" in location:
        return os.environ.get("REDIS_URL") or None
    return records


def check_indexed(location: str, records: str | None) -> None:
    """Refuse a location without an index.

    Raises:
        InvalidArgumentError: A file of the index does not exist.
    """
    # Opening would make an empty index, and the search find nothing in it.
    missing = missing_files(location, records)
    if missing:
        raise InvalidArgumentError(
            f"there is no index at {location!r}: its file {str(missing[0])!r} does not exist. Make "
            "an index with `onnxsearch index DIR`, or name its place with --location and --records"
        )


def check_image(image: Path) -> None:
    """Refuse an image that does not exist, before stores and models are opened.

    Raises:
        ImageNotFoundError: There is no such file.
    """
    path = absolute_path(image, "IMAGE")
    if not os.path.lexists(path):
        raise ImageNotFoundError(f"{path!r}: no such file")


def filter_of(text: str | None) -> Filter | None:
    """Return the filter that `--filter` describes; one that cannot be read is wrong usage."""
    try:
        return None if text is None else F.parse(text)
    except InvalidArgumentError as error:
        problem, *place = str(error).splitlines()
        output.print_error(f"--filter: {problem}")
        for line in place:
            output.print_note(line)
        raise typer.Exit(2) from error


@contextmanager
def errors_end_the_command() -> Iterator[None]:
    """Print an error of ours instead of a traceback, and exit with 1."""
    try:
        yield
    except OnnxSearchError as error:
        output.print_error(str(error))
        raise typer.Exit(1) from error
