"""The command `search`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import (
    AlphaQE,
    InvalidArgumentError,
    Keywords,
    Query,
    QueryInput,
    Rerank,
    SearchEngine,
)
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.embedders import (
    Layouts,
    ModelOptions,
    Names,
    Outputs,
    Poolings,
    Profiles,
    TextModels,
    TextProfiles,
    Tokenizers,
    known_models,
)
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    AsJSON,
    FilterText,
    Location,
    ModelPaths,
    OldRecords,
    Records,
    check_image,
    errors_end_the_command,
    filter_of,
    records_of,
)
from onnxsearch.cli.stored_models import Searched, opened
from onnxsearch.search.query import query_of
from onnxsearch.search.query_part import read_box


@app.command(epilog=EXIT_CODES)
def search(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE]...", help="The image to search with; several are examples."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, help="Images to show.")] = 10,
    offset: Annotated[
        int, typer.Option("--offset", min=0, help="Nearest images to leave out: the next page.")
    ] = 0,
    text: Annotated[
        str | None,
        typer.Option(
            "--text", "-t", help="Words to search for, with a model that has a text tower."
        ),
    ] = None,
    keywords: Annotated[
        str | None,
        typer.Option(
            "--keywords",
            metavar="WORDS",
            help="Words of metadata and file names: alone, or beside what is searched with.",
        ),
    ] = None,
    keyword_fields: Annotated[
        list[str] | None,
        typer.Option(
            "--keyword-field",
            metavar="FIELD",
            help="With --keywords: a metadata field to look in, instead of all; repeatable.",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="A stored image to search with, by its id; repeatable."),
    ] = None,
    unlike: Annotated[
        list[Path] | None,
        typer.Option("--unlike", metavar="IMAGE", help="An opposite example; repeatable."),
    ] = None,
    filter: FilterText = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="ID", help="An image to leave out; repeatable."),
    ] = None,
    exclude_query: Annotated[
        bool,
        typer.Option(
            "--exclude-query", help="Leave out the images that are searched with, and copies."
        ),
    ] = False,
    max_distance: Annotated[
        float | None, typer.Option("--max-distance", help="Leave out what is further away.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Leave out what scores lower.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", metavar="FIELD", help="One image for each value of this field."),
    ] = None,
    group_size: Annotated[
        int, typer.Option("--group-size", min=1, help="With --group-by: images of each group.")
    ] = 1,
    expand: Annotated[
        int | None,
        typer.Option(
            "--expand",
            metavar="N",
            min=0,
            max=1000,
            help="Move the query towards its N nearest images, and search again.",
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="MODEL",
            help="Reorder the first 100 by another model of the index.",
            autocompletion=known_models,
        ),
    ] = None,
    augmented: Annotated[
        bool,
        typer.Option("--augmented", help="Search the vectors that `augment` has made."),
    ] = False,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="LEFT,TOP,RIGHT,BOTTOM",
            help="Search with this part of the image, in pixels.",
        ),
    ] = None,
    location: Location = DEFAULT_LOCATION,
    records: Records = None,
    metadata: OldRecords = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model to search with: its name in the index, or as it was given to index. "
            "Default: the first one of the index.",
            autocompletion=known_models,
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models", metavar="A,B", help="Several models instead, whose rankings are fused."
        ),
    ] = None,
    profile: Profiles = None,
    name: Names = None,
    model_output: Outputs = None,
    pooling: Poolings = None,
    layout: Layouts = None,
    text_model: TextModels = None,
    tokenizer: Tokenizers = None,
    text_profile: TextProfiles = None,
    model_path: ModelPaths = None,
    as_json: AsJSON = False,
) -> None:
    """Show the indexed images that are most similar to IMAGE, nearest first.

    Instead of IMAGE, or beside it, --id names stored images, and --text describes what to find.
    --keywords ranks by words that somebody has written.
    """
    place = records_of(location, records, metadata)
    with errors_end_the_command():
        wanted = filter_of(filter)
        words = _keywords(keywords, keyword_fields)
        is_alone = words is not None and not (images or ids or unlike or text is not None)
        query = None if is_alone else _query(images or [], ids or [], unlike or [], text)
        options = ModelOptions(
            _model_names(model, models),
            profile,
            name,
            model_output,
            pooling,
            layout,
            text_model,
            tokenizer,
            text_profile,
        )
        with opened(options, location, place, model_path) as (engine, searched):
            chosen = _chosen(searched, engine)
            first = model if is_alone else chosen[0]
            results = engine.search(
                query,
                model=None if models else first,
                models=chosen if models else None,
                limit=limit,
                offset=offset,
                filter=wanted,
                exclude=exclude or (),
                exclude_query=exclude_query,
                augmented=augmented,
                expand=None if expand is None else AlphaQE(expand),
                rerank=None if rerank is None else Rerank.by_model(rerank),
                max_distance=max_distance,
                min_score=min_score,
                group_by=group_by,
                group_size=group_size,
                keywords=words,
                box=None if box is None else _box(box),
            )
            is_empty = not results and engine.count() == 0
    if as_json:
        output.print_json(output.results_as_json(results))
    else:
        output.print_results(results, first=offset + 1, is_empty=is_empty)


def _box(text: str) -> list[int]:
    """Return the box that an option names.

    Raises:
        InvalidArgumentError: It names none.
    """
    try:
        return read_box(text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"--box {text!r:.80}: {error}") from error


def _query(
    images: Sequence[Path], ids: Sequence[str], unlike: Sequence[Path], text: str | None
) -> QueryInput:
    """Return the query that the arguments describe.

    Raises:
        InvalidArgumentError: They describe none, or more than one.
        ImageNotFoundError: A file does not exist.
    """
    for image in (*images, *unlike):
        check_image(image)
    like: list[QueryInput] = [*images, *map(Query.id, ids)]
    if text is not None and not like and not unlike:
        return Query.text(text)
    if text is not None or not like:
        raise InvalidArgumentError(
            "search takes one or several IMAGE and --id (with --unlike for opposite examples), or "
            f"--text alone, or --keywords: got {len(images)} images, {len(ids)} ids, "
            f"{len(unlike)} opposite examples and {'a' if text is not None else 'no'} text"
        )
    return query_of(like, unlike)


def _keywords(text: str | None, fields: Sequence[str] | None) -> Keywords | None:
    """Return the keywords that the two options give.

    Raises:
        InvalidArgumentError: They have no words, or there are fields alone.
    """
    if text is not None:
        return Keywords(text, fields or None)
    if fields:
        raise InvalidArgumentError("--keyword-field does nothing without --keywords")
    return None


def _model_names(model: str | None, models: str | None) -> list[str] | None:
    """Return the models that the two options name.

    Raises:
        InvalidArgumentError: Both were given.
    """
    if models is None:
        return None if model is None else [model]
    if model is not None:
        raise InvalidArgumentError("--model and --models: expected one of the two")
    return [name.strip() for name in models.split(",")]


def _chosen(searched: Searched, engine: SearchEngine) -> list[str]:
    """Return the names of the models to search with."""
    if searched.names is not None:
        return searched.names
    if searched.embedders is not None:
        return [embedder.name for embedder in searched.embedders]
    return engine.models
