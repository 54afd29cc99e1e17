"""The page: the files that come with the package, served from memory."""

from __future__ import annotations

from hashlib import blake2b
from http import HTTPStatus
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onnxsearch.serving.answers import not_found

_INDEX = "index.html"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}


class _PageFile(NamedTuple):
    content: bytes
    media_type: str
    tag: str


class PageFiles:
    """The files of the page by name; no other file can be asked for."""

    def __init__(self) -> None:
        self._files: dict[str, _PageFile] = {}
        folder = files("onnxsearch.serving").joinpath("page")
        for file in folder.iterdir() if folder.is_dir() else ():
            media_type = _TYPES.get(f".{file.name.rpartition('.')[2]}")
            if media_type is not None:
                content = file.read_bytes()
                tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
                self._files[file.name] = _PageFile(content, media_type, tag)

    def routes(self) -> list[Route]:
        """Return the routes: the page itself, and its files beside it."""
        return [
            Route("/", self._serve, methods=["GET"], name="page"),
            Route("/{name}", self._serve, methods=["GET"], name="page file"),
        ]

    async def _serve(self, request: Request) -> Response:
        file = self._files.get(request.path_params.get("name", _INDEX))
        if file is None:
            raise not_found("there is nothing at this path: GET /openapi.json lists all paths")
        request.scope["onnxsearch.operation"] = "page"
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)
