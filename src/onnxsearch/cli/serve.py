"""The command `serve`."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import InvalidArgumentError, ReadPolicy, SearchEngine
from onnxsearch.cli import output
from onnxsearch.cli.app import app
from onnxsearch.cli.options import (
    DEFAULT_LOCATION,
    EXIT_CODES,
    LocationArgument,
    MaxPixels,
    ModelPaths,
    Records,
    check_indexed,
    errors_end_the_command,
    records_of,
)
from onnxsearch.images.reading import DEFAULT_MAX_PIXELS

_MIB = 2**20


@app.command(epilog=EXIT_CODES)
def serve(
    location: LocationArgument = DEFAULT_LOCATION,
    folder: Annotated[
        Path | None,
        typer.Option("--index", metavar="DIR", help="Index the images of this folder first."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on. Another one needs a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0: any that is free.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="ONNXSEARCH_TOKEN",
            show_envvar=False,
            help="What clients have to send as `Authorization: Bearer TOKEN`. Better in the "
            "variable ONNXSEARCH_TOKEN: other users of the machine see options.",
        ),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Let everybody search who can reach --host."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Without a token: a host name that browsers reach the service by; repeatable.",
        ),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option("--prefix", metavar="PATH", help="The path at which a proxy shows it."),
    ] = "",
    max_upload: Annotated[
        int, typer.Option("--max-upload", min=1, metavar="MIB", help="Size of an upload in MiB.")
    ] = 32,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    records: Records = None,
    model_path: ModelPaths = None,
) -> None:
    """Serve an index over HTTP: a page to search with, and an API that /openapi.json describes.

    Nothing can be changed over HTTP. Needs the extra `serve`.
    """
    place = records_of(location, records)
    with errors_end_the_command():
        # Imported here, because the other commands need none of it.
        from onnxsearch.serving import ServiceLimits, create_app
        from onnxsearch.serving.server import ServiceServer, is_loopback

        if not is_loopback(host) and token is None and not no_token:
            raise InvalidArgumentError(
                f"--host {host} lets other machines search: give a token in the variable "
                "ONNXSEARCH_TOKEN, or --no-token to let everybody search"
            )
        if folder is None:
            check_indexed(location, place)
        reading = ReadPolicy(max_pixels=max_pixels)
        with SearchEngine.open(
            location, records=place, model_path=model_path, reading=reading
        ) as engine:
            if folder is not None:
                _index(engine, folder, location)
            limits = ServiceLimits(upload_bytes=max_upload * _MIB, pixels=max_pixels)
            served = create_app(engine, token=token, hosts=allow_host or (), limits=limits)
            server = ServiceServer(served, host, port, prefix)
            output.print_line(f"{engine.count():,} images at {server.url} (Ctrl-C ends it)")
            output.flush()
            if open_page:
                threading.Timer(1.0, webbrowser.open, [server.url]).start()
            server.serve_until_stopped()


def _index(engine: SearchEngine, folder: Path, location: str) -> None:
    with output.interruption_noted(), output.progress_bar() as progress:
        report = engine.index(folder, progress=progress)
    output.print_report(report, location)
