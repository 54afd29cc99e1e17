"""What the argument of `index` stands for, and the options that belong to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import (
    Archive,
    IndexReport,
    InvalidArgumentError,
    Remote,
    RemotePolicy,
    SearchEngine,
    Source,
    Table,
    Video,
)
from onnxsearch._internal.progress import ProgressSink
from onnxsearch.indexing.sources.files import open_source, source_file

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of images; an image; an archive (.zip, .tar, .tar.gz ...); a table (.csv, "
        ".jsonl, .parquet); a video; a URL; or a file of URLs (.txt), one a line.",
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        "--image-column", metavar="NAME", help="The column of a table that holds the images."
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option("--id-column", metavar="NAME", help="The column of a table that holds the ids."),
]
ImageRoot = Annotated[
    Path | None,
    typer.Option(
        "--image-root",
        metavar="DIR",
        help="The folder that paths in a table are relative to, and in. Default: the table's.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download the images of a table that are URLs.")
]
AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private", help="Also download from this machine and private networks."),
]
Every = Annotated[
    float | None,
    typer.Option("--every", metavar="SECONDS", help="Take a frame of a video so often."),
]
Scenes = Annotated[
    float | None,
    typer.Option(
        "--scenes", metavar="THRESHOLD", help="Take a frame of a video at each cut, such as 0.3."
    ),
]

_LONGEST_LINE = 10_000
"""Bytes; longer lines are no URLs."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The options of `index` that say how a source is read, each with its default."""

    prune: bool = False
    allow_empty: bool = False
    exclude: tuple[str, ...] = ()
    include_hidden: bool = False
    root: Path | None = None
    image_column: str | None = None
    id_column: str | None = None
    image_root: Path | None = None
    download: bool = False
    allow_private: bool = False
    every: float | None = None
    scenes: float | None = None

    def open(self, source: str) -> str | Source:
        """Return what `source` stands for: a source of images, or itself for files.

        Raises:
            InvalidArgumentError: An option does nothing for this kind of source.
            OnnxSearchError: It cannot be read.
        """
        kind = _kind(source)
        self._check(kind)
        return source if kind.open is None else kind.open(source, self)

    def index(
        self, engine: SearchEngine, opened: str | Source, progress: ProgressSink
    ) -> IndexReport:
        """Index what `open` returned."""
        if not isinstance(opened, str):
            return engine.add_many(opened, progress=progress)
        return engine.index(
            opened,
            progress=progress,
            prune=self.prune,
            allow_empty=self.allow_empty,
            exclude=self.exclude,
            include_hidden=self.include_hidden,
            root=self.root,
        )

    def _check(self, kind: _SourceKind) -> None:
        for field in fields(self):
            if field.name not in kind.options and getattr(self, field.name) != field.default:
                option = f"--{field.name.replace('_', '-')}"
                raise InvalidArgumentError(
                    f"{option} does nothing for {kind.name}: leave it out, or give SOURCE as "
                    f"{_kinds_with(field.name)}"
                )


@dataclass(frozen=True, slots=True)
class _SourceKind:
    """One kind of source."""

    name: str
    options: frozenset[str]
    """The options that it takes."""
    open: Callable[[str, SourceOptions], Source] | None = None
    """Opens the source; None for files, which `SearchEngine.index` reads."""


def _kind(source: str) -> _SourceKind:
    """Return what a source is, by what it looks like."""
    name = source.lower()
    if "://" in source:
        return _URL
    if os.path.isdir(os.path.expanduser(source)):
        return _FILES
    return next((kind for suffixes, kind in _BY_SUFFIX if name.endswith(suffixes)), _FILES)


def _kinds_with(option: str) -> str:
    return " or ".join(kind.name for kind in _KINDS if option in kind.options)


def _url(source: str, options: SourceOptions) -> Source:
    # Whoever types a URL means its protocol.
    protocols = ["http", "https", source.partition("://")[0].lower()]
    return Remote(source, RemotePolicy(allow_private=options.allow_private, protocols=protocols))


def _url_list(source: str, options: SourceOptions) -> Source:
    lines = _lines(source_file(source, "SOURCE"))
    return Remote(lines, RemotePolicy(allow_private=options.allow_private))


def _lines(path: str) -> Iterator[str]:
    """Yield the lines of a file that are not comments; a line that is too long, in parts."""
    with open_source(path) as file:
        while line := file.readline(_LONGEST_LINE):
            text = line.decode("utf-8-sig", "replace")
            if not text.startswith("#"):
                yield text


def _archive(source: str, options: SourceOptions) -> Source:
    return Archive(source, exclude=options.exclude, include_hidden=options.include_hidden)


def _table(source: str, options: SourceOptions) -> Source:
    return Table(
        source,
        image=options.image_column or "image",
        id=options.id_column,
        root=options.image_root,
        remote=RemotePolicy(allow_private=options.allow_private) if options.download else None,
    )


def _video(source: str, options: SourceOptions) -> Source:
    return Video(source, every=options.every, scene_threshold=options.scenes)


_FILES = _SourceKind(
    "a folder",
    frozenset({"prune", "allow_empty", "exclude", "include_hidden", "root"}),
)
_ARCHIVE = _SourceKind("an archive", frozenset({"exclude", "include_hidden"}), _archive)
_TABLE = _SourceKind(
    "a table",
    frozenset({"image_column", "id_column", "image_root", "download", "allow_private"}),
    _table,
)
_VIDEO = _SourceKind("a video", frozenset({"every", "scenes"}), _video)
_URL = _SourceKind("a URL", frozenset({"allow_private"}), _url)
_URL_LIST = _SourceKind("a file of URLs", frozenset({"allow_private"}), _url_list)
_KINDS = (_FILES, _ARCHIVE, _TABLE, _VIDEO, _URL, _URL_LIST)

_BY_SUFFIX = (
    (
        (
            *(".zip", ".cbz", ".cbt", ".tar", ".tgz", ".tbz", ".tbz2", ".txz"),
            *(".tar.gz", ".tar.bz2", ".tar.xz"),
        ),
        _ARCHIVE,
    ),
    ((".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq", ".parq"), _TABLE),
    (
        (
            *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts"),
            *(".ts", ".wmv", ".asf", ".flv", ".3gp", ".ogv", ".mxf"),
        ),
        _VIDEO,
    ),
    ((".txt",), _URL_LIST),
)
