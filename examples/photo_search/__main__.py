"""The library at the command line: `python -m photo_search --help`."""

from __future__ import annotations

import argparse

from onnxsearch import OnnxSearchError, SearchEngine
from photo_search.library import Photo, PhotoLibrary, UnknownPhotoError, UnreadablePhotoError


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        with SearchEngine.open(options.library) as engine:
            options.run(PhotoLibrary(engine), options)
    except (OnnxSearchError, UnknownPhotoError, UnreadablePhotoError) as error:
        raise SystemExit(f"photo_search: {error}") from error


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="photo_search", description="A photo library.")
    parser.add_argument("--library", default=".onnxsearch/photos", metavar="FOLDER")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("import", help="import the photos of a folder")
    command.add_argument("folder")
    command.set_defaults(run=import_folder)

    command = commands.add_parser("similar", help="find photos that look like a file")
    command.add_argument("photo")
    command.add_argument("--album")
    command.set_defaults(run=similar)

    command = commands.add_parser("tag", help="replace the tags of a photo")
    command.add_argument("id")
    command.add_argument("tags", nargs="*")
    command.set_defaults(run=tag)

    command = commands.add_parser("suggest", help="suggest tags for a photo")
    command.add_argument("id")
    command.set_defaults(run=suggest)

    command = commands.add_parser("serve", help="serve the library over HTTP")
    command.add_argument("--port", type=int, default=8000)
    command.set_defaults(run=serve)
    return parser


def import_folder(library: PhotoLibrary, options: argparse.Namespace) -> None:
    result = library.import_folder(options.folder)
    print(f"{result.new} new, {result.known} known, {len(result.refused)} refused")
    for path, reason in result.refused.items():
        print(f"  {path}: {reason}")


def similar(library: PhotoLibrary, options: argparse.Namespace) -> None:
    for photo in library.similar(options.photo, album=options.album, limit=5):
        print(line(photo))


def tag(library: PhotoLibrary, options: argparse.Namespace) -> None:
    print(line(library.tag(options.id, options.tags)))


def suggest(library: PhotoLibrary, options: argparse.Namespace) -> None:
    print(", ".join(library.suggest_tags(options.id)) or "no similar photo has a tag")


def serve(library: PhotoLibrary, options: argparse.Namespace) -> None:
    import uvicorn

    from photo_search.web import create_app

    uvicorn.run(create_app(library), port=options.port)


def line(photo: Photo) -> str:
    likeness = "" if photo.likeness is None else f"{photo.likeness:.2f}  "
    return f"{likeness}{photo.id}  {' '.join(photo.tags)}".rstrip()


if __name__ == "__main__":
    main()
