"""The commands `models list`, `get`, `export`, `verify` and `lock`.

`models get` is the only code of the package that downloads anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import InvalidArgumentError, JSONValue
from onnxsearch._internal.new_file import new_file
from onnxsearch._internal.paths import target_path
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import EXIT_CODES, AsJSON, errors_end_the_command
from onnxsearch.embedders.hub.cache import CACHE_VARIABLE, ModelCache
from onnxsearch.embedders.hub.catalogue import CataloguedModel, catalogue, catalogued
from onnxsearch.embedders.hub.download import Request, download
from onnxsearch.embedders.hub.export import export as export_models
from onnxsearch.embedders.hub.lock import LockedModel, ModelLock
from onnxsearch.embedders.hub.names import check_file, check_repository, check_revision
from onnxsearch.errors import DownloadError

models = typer.Typer(
    help="Models by name: list, download, check and copy them.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
app.add_typer(models, name="models")

Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        envvar=CACHE_VARIABLE,
        metavar="DIR",
        help="The folder of downloaded models. Default: in the user's cache folder.",
    ),
]


@models.command("list", epilog=EXIT_CODES)
def list_models(cache: Cache = None, as_json: AsJSON = False) -> None:
    """Show the models that have a name, and which of them are downloaded."""
    with errors_end_the_command():
        lock = ModelCache(cache).lock()
    entries = [_entry_as_json(entry, lock) for entry in catalogue().values()]
    known = {entry.repository for entry in catalogue().values()}
    entries += [_other_as_json(model) for model in lock if model.repository not in known]
    if as_json:
        output.print_json({"models": entries})
        return
    output.print_line(f"{'name':24}  {'licence':11}  text  state       repository", style="bold")
    for entry in entries:
        states = [
            f"{entry['name']:<24}",
            f"{entry['licence'] or 'not stated':<11}",
            "yes " if entry["text"] else "    ",
            "downloaded" if entry["downloaded"] else "          ",
            f"{entry['repository']}",
        ]
        output.print_line("  ".join(states))
        if entry["note"]:
            output.print_line(f"{'':26}{entry['note']}")


@models.command(epilog=EXIT_CODES)
def get(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name of the list, or owner/repository.")
    ],
    revision: Annotated[
        str | None, typer.Option("--revision", help="The commit, 40 hex digits.")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", help="A file of the repository, instead of those of the list."),
    ] = None,
    without_text: Annotated[
        bool, typer.Option("--without-text", help="Leave the text tower out.")
    ] = False,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="Accept a licence that is not an open one."),
    ] = False,
    lock: Annotated[
        Path | None,
        typer.Option("--lock", metavar="FILE", help="A lock file that the model has to match."),
    ] = None,
    cache: Cache = None,
    as_json: AsJSON = False,
) -> None:
    """Download a model. The only command that opens a connection for one.

    The address is https://huggingface.co, or the variable HF_ENDPOINT. What arrives is
    compared with the hub's digests and with the lock file, which records it.
    """
    with errors_end_the_command(), output.download_bar() as report:
        place = ModelCache(cache)
        model = download(
            _request(name, revision, file, without_text),
            place,
            accept_licence=accept_licence,
            report=report,
            pins=None if lock is None else _pins(lock),
        )
    if as_json:
        output.print_json(_model_as_json(model, place))
        return
    size = sum(each.size for each in model.files.values())
    output.print_line(
        f"{model.repository} at {model.revision}: {len(model.files)} files, {size / 1e6:.1f} MB, "
        f"licence {model.licence or 'not stated'}, in {place.place(model)}"
    )


@models.command(epilog=EXIT_CODES)
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it is made.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="The models. Default: all that are downloaded."),
    ] = None,
    cache: Cache = None,
    as_json: AsJSON = False,
) -> None:
    """Copy downloaded models and their lock file, for a machine without network.

    There, set ONNXSEARCH_HUB to the folder, or pass cache=.
    """
    with errors_end_the_command():
        copied = export_models(ModelCache(cache), folder, names or ())
        place = ModelCache(folder)
    if as_json:
        output.print_json({"models": [_model_as_json(model, place) for model in copied]})
        return
    for model in copied:
        output.print_line(f"{model.repository} at {model.revision}: {len(model.files)} files")


@models.command(epilog=EXIT_CODES)
def verify(cache: Cache = None, as_json: AsJSON = False) -> None:
    """Compare every downloaded file with the lock file. Exits with 1 if one differs."""
    with errors_end_the_command():
        checked = list(ModelCache(cache).check())
    bad = [each for each in checked if each.problem is not None]
    if as_json:
        problems: list[JSONValue] = [
            {"repository": each.model.repository, "file": each.name, "problem": each.problem}
            for each in bad
        ]
        output.print_json({"checked": len(checked), "problems": problems})
    else:
        for each in bad:
            output.print_line(f"{each.problem}")
        output.print_line(f"{len(checked)} files checked, {len(bad)} wrong")
    if bad:
        raise typer.Exit(1)


@models.command(epilog=EXIT_CODES)
def lock(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Write it there instead of showing it.")
    ] = None,
    cache: Cache = None,
) -> None:
    """Show the lock file: commit, size and digest of everything that was downloaded.

    Keep a copy with a project, and `models get NAME --lock FILE` gives the same bytes elsewhere.
    """
    with errors_end_the_command():
        text = ModelCache(cache).lock().text()
        if file is not None:
            _write(target_path(file, "FILE"), text)
            return
    for line in text.splitlines():
        output.print_line(line)


def _request(
    name: str, revision: str | None, files: list[str] | None, without_text: bool
) -> Request:
    """Return what is to be downloaded.

    Raises:
        UnknownModelError: The catalogue has no such name.
        InvalidArgumentError: An option is missing, or not of the right form.
    """
    if revision is not None:
        check_revision(revision)
    chosen = [check_file(file) for file in files or ()]
    if "/" not in name:
        entry = catalogued(name)
        wanted = chosen or entry.files(text=not without_text)
        return Request(entry.repository, revision, wanted, entry)
    check_repository(name)
    if revision is None or not chosen:
        raise InvalidArgumentError(
            f"{'--revision' if revision is None else '--file'} is missing: a repository is "
            "downloaded at a commit, such as --revision with its 40 hex digits, and with the "
            "files that are named, such as --file onnx/model.onnx"
        )
    return Request(name, revision, chosen)


def _pins(path: Path) -> ModelLock:
    """Read a lock file that has to exist."""
    absolute = target_path(path, "--lock")
    if not absolute.is_file():
        raise InvalidArgumentError(f"--lock {str(absolute)!r}: there is no such file")
    return ModelLock.read(absolute)


def _write(path: Path, text: str) -> None:
    try:
        with new_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise DownloadError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def _entry_as_json(entry: CataloguedModel, lock: ModelLock) -> dict[str, JSONValue]:
    revision = lock.names.get(entry.name, entry.revision)
    model = None if revision is None else lock.model(entry.repository, revision)
    return {
        "name": entry.name,
        "repository": entry.repository,
        "revision": revision,
        "licence": entry.licence,
        "licence_from": entry.licence_from,
        "text": entry.text is not None,
        "downloaded": model is not None and entry.image in model.files,
        "note": entry.note,
    }


def _other_as_json(model: LockedModel) -> dict[str, JSONValue]:
    """Return the entry of a model that was downloaded by its repository."""
    return {
        "name": model.repository,
        "repository": model.repository,
        "revision": model.revision,
        "licence": model.licence,
        "licence_from": None,
        "text": False,
        "downloaded": True,
        "note": ", ".join(name for name in model.files if name.endswith(".onnx")),
    }


def _model_as_json(model: LockedModel, cache: ModelCache) -> Mapping[str, JSONValue]:
    return {
        "repository": model.repository,
        "revision": model.revision,
        "licence": model.licence,
        "folder": str(cache.place(model)),
        "files": {
            name: {"size": file.size, "sha256": file.sha256} for name, file in model.files.items()
        },
    }
