"""The application: operations, page and guards put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from onnxsearch._internal.validation import instance, items, text
from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.engine import SearchEngine
from onnxsearch.serving.browsing import Browsing
from onnxsearch.serving.failures import HANDLERS
from onnxsearch.serving.guards import Gate, SecurityHeaders, checked_token
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.load import Admission, UploadLimits
from onnxsearch.serving.metrics import Measuring, ServiceMetrics
from onnxsearch.serving.openapi import openapi_document
from onnxsearch.serving.operations import Operation, routes
from onnxsearch.serving.page_files import PageFiles
from onnxsearch.serving.searching import Searching
from onnxsearch.serving.state import ServiceState
from onnxsearch.serving.stored_images import StoredImages
from onnxsearch.serving.workers import Workers

DEFAULT_LIMITS = ServiceLimits()


def create_app(
    engine: SearchEngine | AsyncSearchEngine,
    *,
    token: str | None = None,
    hosts: Collection[str] = (),
    limits: ServiceLimits = DEFAULT_LIMITS,
) -> Starlette:
    """Return an ASGI application that searches with an engine; nothing can be changed by it.

    Any ASGI server runs it, and other ASGI applications can mount it. The engine stays the
    caller's: close it when the application has ended.

    Args:
        engine: The engine. Searches that arrive together are embedded together, unless an
            `AsyncSearchEngine` without batching is given.
        token: Visible ASCII characters, at least 16. Requests for what is in the index then
            have to send it as `Authorization: Bearer TOKEN`. Without one, everybody who reaches
            the application may search.
        hosts: Host names that clients reach the application by. Without a token, requests to
            other names are refused, except IP addresses and `localhost`, because pages of other
            sites could send them (DNS rebinding).
        limits: What a request may ask for.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.
        MissingExtraError: The extra `serve` is not installed.

    Example:
        >>> from starlette.applications import Starlette
        >>> from starlette.routing import Mount
        >>> app = Starlette(routes=[Mount("/photos", create_app(engine))])
    """
    instance("engine", engine, (SearchEngine, AsyncSearchEngine), "a SearchEngine")
    instance("limits", limits, ServiceLimits, "ServiceLimits")
    if token is not None:
        checked_token(token)
    names = [text("hosts", name, "names of hosts") for name in items("hosts", hosts, "host names")]
    metrics, workers = ServiceMetrics(), Workers(limits)
    searcher = (
        AsyncSearchEngine(engine, concurrency=limits.working_threads)
        if isinstance(engine, SearchEngine)
        else engine
    )
    operations: list[Operation] = []
    state = ServiceState(
        searcher,
        workers,
        metrics,
        lambda: openapi_document(operations, limits, token=token is not None),
    )
    operations += state.operations()
    operations += Searching(searcher, workers, limits).operations()
    operations += Browsing(searcher, workers, limits).operations()
    operations += StoredImages(searcher, workers, limits, metrics).operations()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        if searcher is not engine:
            await searcher.close()
        await asyncio.to_thread(workers.close)

    return Starlette(
        routes=[*routes(operations, limits), *PageFiles().routes()],
        middleware=[
            Middleware(Measuring, metrics=metrics),
            Middleware(SecurityHeaders),
            Middleware(Gate, token=token, hosts=names),
            Middleware(Admission, most=limits.requests),
            Middleware(UploadLimits, limits=limits),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
