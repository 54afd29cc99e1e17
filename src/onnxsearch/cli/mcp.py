"""The command `mcp`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from onnxsearch import AsyncSearchEngine, ReadPolicy
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


@app.command(epilog=EXIT_CODES)
def mcp(
    location: LocationArgument = DEFAULT_LOCATION,
    allow: Annotated[
        list[Path] | None,
        typer.Option(
            "--allow",
            metavar="DIR",
            help="A folder of which the agent may name image files to search with; repeatable. "
            "Default: none, it can only send images.",
        ),
    ] = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    records: Records = None,
    model_path: ModelPaths = None,
) -> None:
    """Let an agent search an index, with tools of the Model Context Protocol.

    A program such as an editor or a chat starts this command, and speaks with it over standard
    input and output. The tools change nothing. Needs the extra `mcp`.
    """
    place = records_of(location, records)
    # Standard output belongs to the protocol.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with errors_end_the_command():
        check_indexed(location, place)
        asyncio.run(_serve(location, place, model_path, allow or (), max_pixels))


async def _serve(
    location: str,
    records: str | None,
    model_path: Sequence[str] | None,
    allow: Sequence[Path],
    max_pixels: int,
) -> None:
    # Imported here, because the other commands need none of it.
    from onnxsearch.serving.mcp import create_mcp_server

    reading = ReadPolicy(max_pixels=max_pixels)
    async with AsyncSearchEngine.open(
        location, records=records, model_path=model_path, reading=reading
    ) as engine:
        await create_mcp_server(engine, allow=allow, reading=reading).run_stdio_async()
