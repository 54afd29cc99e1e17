"""Checks of the models of an index: are the files that it remembers there, and unchanged?"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from onnxsearch._internal.paths import absolute_path
from onnxsearch._internal.sqlite import open_unchanged
from onnxsearch.catalog.manifest import Manifest, manifest_cell
from onnxsearch.catalog.model_entries import decode_models
from onnxsearch.cli.doctor.checks import CheckResult, error, ok, warning
from onnxsearch.embedders.description import ModelDescription, ModelFile, ModelSource
from onnxsearch.embedders.onnx.fingerprint import file_digest
from onnxsearch.embedders.onnx.model_files import MODEL_ENDINGS, TOKENIZER_ENDINGS, ModelFinder
from onnxsearch.engine import DEFAULT_NAMESPACE
from onnxsearch.errors import ModelLoadError, ModelNotFoundError, StoreCorruptError
from onnxsearch.metadata.sqlite import read_cell

_REMEDY = "name the file, or a folder above it, with --model-path or ONNXSEARCH_MODELS"


def models(
    records: Path | str, places: Sequence[Path], given: Sequence[str], patience: float
) -> Iterator[CheckResult]:
    """Look for the files of the models that an index remembers.

    Args:
        records: The file or the URL of the records.
        places: Where models are looked for.
        given: Models that the caller asks about: files.
        patience: Seconds that a server may take.
    """
    known = _remembered(records, patience)
    if not known:
        yield ok("models", "the index remembers no model yet")
    finder = ModelFinder(places)
    for model in known:
        yield from _model(model, finder)
    for path in given:
        yield _given(path, known)


def _remembered(records: Path | str, patience: float) -> list[ModelDescription]:
    if isinstance(records, Path):
        try:
            with closing(open_unchanged(records)) as connection:
                data = read_cell(connection, manifest_cell(DEFAULT_NAMESPACE))
        except sqlite3.DatabaseError as problem:
            raise StoreCorruptError(
                f"the models of the index cannot be read from {str(records)!r}: {problem}"
            ) from problem
        return [] if data is None else decode_models(data, records.parent)
    from onnxsearch.metadata.redis.store import RedisMetadataStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another check says how durable it is
        store = RedisMetadataStore(records, timeout=patience / 3)
    with store:
        return Manifest(store, DEFAULT_NAMESPACE).models()


def _model(model: ModelDescription, finder: ModelFinder) -> Iterator[CheckResult]:
    check = f"model.{model.name}"
    if model.file is None:
        found = f"model {model.name!r} is of the class {model.class_name}, and has no file"
        yield ok(check, f"{found}: its own program makes it")
        return
    yield _found(check, f"model {model.name!r}", model.file, model.source, finder, MODEL_ENDINGS)
    if (text := model.text) is None:
        return
    for part, what, file, endings in (
        ("text", "the text model", text.file, MODEL_ENDINGS),
        ("tokenizer", "the tokenizer", text.tokenizer, TOKENIZER_ENDINGS),
    ):
        of = f"{what} of model {model.name!r}"
        yield _found(f"{check}.{part}", of, file, text.source, finder, endings)
    if find_spec("tokenizers") is None:
        found = f"model {model.name!r} takes words, and the package tokenizers is missing"
        yield error(f"{check}.text", found, 'pip install "onnxsearch[text]"')


def _found(
    check: str,
    what: str,
    file: ModelFile,
    source: ModelSource | None,
    finder: ModelFinder,
    endings: tuple[str, ...],
) -> CheckResult:
    try:
        return ok(check, f"{what}: {finder.find(what, file, source, endings)}")
    except ModelNotFoundError as problem:
        return error(check, str(problem), _REMEDY)


def _given(path: str, known: Sequence[ModelDescription]) -> CheckResult:
    """Compare a file with the models of the index."""
    check = "model.given"
    try:
        digest = file_digest(absolute_path(path, "--model")).hex()
    except ModelLoadError as problem:
        return error(check, str(problem), "correct the path")
    names = [model.name for model in known if model.file and model.file.sha256 == digest]
    if names:
        return ok(check, f"{path!r} is model {names[0]!r} of the index")
    return warning(
        check,
        f"{path!r} is none of the models of the index, which are "
        f"{', '.join(model.name for model in known) or 'none'}",
        "search with a model of the index, or index with this one first",
    )
