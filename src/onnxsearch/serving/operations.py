"""Operations: what the service can do, declared once for the router and for OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onnxsearch.serving.answers import bad_request
from onnxsearch.serving.documents import Documents
from onnxsearch.serving.forms import Form, query_fields, read_form
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.links import requested_id, root_of
from onnxsearch.serving.parameters import Arguments, Parameter
from onnxsearch.types import JSONValue


class Call(NamedTuple):
    """One request to an operation, read and checked."""

    request: Request
    arguments: Arguments
    files: list[tuple[str, bytes]]
    """Names and bytes of the files in the body."""
    id: str
    """The id in the path; empty if the path has none."""
    documents: Documents


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    name: str
    """The `operationId` of OpenAPI, and the label of the metrics."""
    method: str
    path: str
    """The path; it ends with `{id}` if an id follows."""
    summary: str
    handler: Handler
    answer: Mapping[str, JSONValue]
    """Media type and schema of the answer, as the `content` of OpenAPI."""
    parameters: tuple[Parameter[object], ...] = ()
    files: Mapping[str, str] | None = None
    """Names of the files that a body may hold, with their descriptions. With None, the request
    has no body, and the parameters are in its query string."""
    problems: tuple[int, ...] = ()
    """Status codes of refusals, other than those that every operation may give."""

    @property
    def has_id(self) -> bool:
        """Whether an id is a part of the path."""
        return self.path.endswith("{id}")

    async def answered(self, request: Request, limits: ServiceLimits) -> Response:
        """Return the answer to a request.

        Raises:
            Problem: The request is refused.
            OnnxSearchError: The engine refuses it, or fails.
        """
        request.scope["onnxsearch.operation"] = self.name
        request.scope["onnxsearch.arguments"] = {each.name for each in self.parameters}
        return await self.handler(await self._call(request, limits))

    async def _call(self, request: Request, limits: ServiceLimits) -> Call:
        query = query_fields(request.scope["query_string"])
        form = Form(fields=query)
        if self.files is not None:
            if query:
                raise bad_request(
                    f"parameter {query[0][0]!r:.80} in the query: expected it in the body"
                )
            form = await read_form(request, self.files, limits)
        arguments = Arguments(self.parameters, form.fields)
        id = requested_id(request, self.path.removesuffix("{id}")) if self.has_id else ""
        return Call(request, arguments, form.files, id, Documents(root_of(request)))


def routes(operations: Iterable[Operation], limits: ServiceLimits) -> list[Route]:
    """Return a route for each path, which knows all methods of the path."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return [_route(path, methods, limits) for path, methods in paths.items()]


def _route(path: str, methods: Mapping[str, Operation], limits: ServiceLimits) -> Route:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method].answered(request, limits)

    return Route(path.replace("{id}", "{id:path}"), endpoint, methods=list(methods))
