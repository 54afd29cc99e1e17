"""The library over HTTP, as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from photo_search.library import Photo, PhotoLibrary, UnknownPhotoError, UnreadablePhotoError

LARGEST_UPLOAD = 20 * 2**20


def create_app(library: PhotoLibrary) -> Starlette:
    """Return the application. Functions that are not `async` run in threads of their own."""

    def photos(request: Request) -> Response:
        query = request.query_params
        return answer(library.photos(album=query.get("album"), tag=query.get("tag")))

    async def similar(request: Request) -> Response:
        async with request.form(max_files=1) as form:
            photo, album = form.get("photo"), form.get("album")
            if not isinstance(photo, UploadFile) or (photo.size or 0) > LARGEST_UPLOAD:
                raise HTTPException(400, f"expected a `photo` of at most {LARGEST_UPLOAD:,} bytes")
            data = await photo.read()
        found = await run_in_threadpool(
            library.similar, data, album=album if isinstance(album, str) else None
        )
        return answer(found)

    def more_like(request: Request) -> Response:
        return answer(library.more_like(request.path_params["id"]))

    def suggested_tags(request: Request) -> Response:
        return JSONResponse(library.suggest_tags(request.path_params["id"]))

    return Starlette(
        routes=[
            Route("/photos", photos),
            Route("/similar", similar, methods=["POST"]),
            Route("/more-like/{id:path}", more_like),
            Route("/suggested-tags/{id:path}", suggested_tags),
        ],
        exception_handlers={
            UnknownPhotoError: lambda request, error: refusal(404, error),
            UnreadablePhotoError: lambda request, error: refusal(422, error),
        },
    )


def answer(photos: Iterable[Photo]) -> Response:
    """Return photos as JSON."""
    return JSONResponse([asdict(photo) for photo in photos])


def refusal(status: int, error: Exception) -> Response:
    """Return why a request is refused."""
    return JSONResponse({"error": str(error)}, status)
