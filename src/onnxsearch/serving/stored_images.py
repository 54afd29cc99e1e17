"""The operations that show stored images: thumbnails, and the files themselves."""

from __future__ import annotations

import os
import stat
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from starlette.responses import Response

from onnxsearch._internal.open_files import StoreFileError, open_to_read
from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.images.formats import HEAD, image_format
from onnxsearch.images.reading import ReadPolicy
from onnxsearch.reporting.thumbnails import Thumbnails
from onnxsearch.serving import parameters, schemas
from onnxsearch.serving.answers import Problem, no_image, not_found
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.metrics import ServiceMetrics
from onnxsearch.serving.operations import Call, Operation
from onnxsearch.serving.thumbnail_cache import ThumbnailCache, ThumbnailKey
from onnxsearch.serving.workers import Workers

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_CHUNK = 2**18

_KEPT = "private, max-age=300"
"""Browsers ask again after five minutes whether a file has changed."""

_SANDBOX = "default-src 'none'; sandbox"
"""A file is shown as an image only, whatever it holds."""

# Types that browsers show. Files of other formats are offered to be saved.
_TYPES = {
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "HEIC": "image/heic",
    "ICO": "image/x-icon",
    "JPEG": "image/jpeg",
    "JPEG2000": "image/jp2",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}
_OTHER = "application/octet-stream"


class _ShownFile(NamedTuple):
    """The file of a stored image, as it is now."""

    path: str
    status: os.stat_result

    @property
    def tag(self) -> str:
        """What changes with the file; it does not show where the file is."""
        text = f"{self.path}\0{self.status.st_mtime_ns}\0{self.status.st_size}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class StoredImages:
    """Images of one engine's index. Paths come from the index only, never from a request.

    Args:
        engine: The engine.
        workers: The threads that read files.
        limits: Limits of images and of the memory for thumbnails.
        metrics: Counts thumbnails.
    """

    def __init__(
        self,
        engine: AsyncSearchEngine,
        workers: Workers,
        limits: ServiceLimits,
        metrics: ServiceMetrics,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._reading = ReadPolicy(max_pixels=limits.pixels)
        self._cache = ThumbnailCache(limits.cache_bytes)
        self._metrics = metrics
        metrics.track_cache(lambda: self._cache.used)
        self._size = parameters.integer(
            "size", "Pixels of the longer side, at most.", least=16, most=2048, default=256
        )

    def operations(self) -> list[Operation]:
        """Return the operations, for the router."""
        return [
            Operation(
                "thumbnail", "GET", "/api/thumbnails/{id}", "Show a small version of an image.",
                self.thumbnail, schemas.THUMBNAIL, (self._size,), problems=(404,),
            ),
            Operation(
                "image", "GET", "/api/images/{id}", "Show the file of an image.", self.image,
                schemas.IMAGE, problems=(404,),
            ),
        ]  # fmt: skip

    async def thumbnail(self, call: Call) -> Response:
        """Answer with a JPEG."""
        found = await self._workers.call(partial(self._find, call.id))
        size = call.arguments[self._size]
        headers = _caching(f'"{found.tag}-{size}"')
        if call.request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        key = ThumbnailKey(found.path, found.status.st_mtime_ns, found.status.st_size, size)
        data = self._cache.get(key)
        self._metrics.thumbnails.labels("no" if data is None else "yes").inc()
        if data is None:
            data = await self._workers.call(partial(self._make, key))
        return Response(data, media_type="image/jpeg", headers=headers)

    async def image(self, call: Call) -> Response:
        """Answer with the bytes of the file."""
        found = await self._workers.call(partial(self._find, call.id))
        headers = _caching(f'"{found.tag}"')
        if call.request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return _FileResponse(found.path, self._workers, headers)

    def _find(self, id: str) -> _ShownFile:
        record = self._engine.engine.get(id)
        if record is None:
            raise no_image(id)
        if record.file is None:
            raise not_found(f"image {id!r:.200} was not stored from a file of its own")
        try:
            status = os.stat(record.file)
        except (OSError, ValueError) as error:
            raise _gone(record.file) from error
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its other end
            raise _gone(record.file)
        return _ShownFile(record.file, status)

    def _make(self, key: ThumbnailKey) -> bytes:
        data = Thumbnails(key.size, self._reading).jpeg(key.path)
        if data is None:
            raise not_found(f"{os.path.basename(key.path)!r:.200} is no longer an image to show")
        self._cache.put(key, data)
        return data


class _FileResponse(Response):
    """An image file, read in parts while it is sent."""

    def __init__(self, path: str, workers: Workers, headers: dict[str, str]) -> None:
        super().__init__(headers={**headers, "Content-Security-Policy": _SANDBOX})
        self._path = path
        self._workers = workers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with open_to_read(self._path) as file:
                await self._send(file, scope, send)
        except StoreFileError as error:
            raise _gone(self._path) from error
        except OSError as error:
            raise _gone(self._path) from error

    async def _send(self, file: BinaryIO, scope: Scope, send: Send) -> None:
        size = os.fstat(file.fileno()).st_size
        kind = image_format(await self._workers.call(partial(file.read, HEAD)))
        if kind is None:
            raise _gone(self._path)
        self.headers["content-type"] = _TYPES.get(kind, _OTHER)
        self.headers["content-length"] = str(size)
        if kind not in _TYPES:
            self.headers["content-disposition"] = "attachment"
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        file.seek(0)
        left = 0 if scope["method"] == "HEAD" else size
        while left:
            # A file that becomes shorter meanwhile breaks the connection off, as it should.
            part = await self._workers.call(partial(file.read, min(_CHUNK, left)))
            left = left - len(part) if part else 0
            await send({"type": "http.response.body", "body": part, "more_body": bool(left)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})


def _caching(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": _KEPT, "Vary": "Authorization"}


def _gone(path: str) -> Problem:
    return not_found(f"the file {os.path.basename(path)!r:.200} is gone, or is no longer an image")
