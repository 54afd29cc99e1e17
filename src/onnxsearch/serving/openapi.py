"""The OpenAPI document of the service, made from its operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from onnxsearch._internal.version import VERSION
from onnxsearch.serving.answers import PROBLEM
from onnxsearch.serving.documents import Document
from onnxsearch.serving.forms import MULTIPART, URLENCODED
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.operations import Operation
from onnxsearch.serving.parameters import Parameter
from onnxsearch.serving.schemas import PROBLEM as PROBLEM_SCHEMA
from onnxsearch.types import JSONValue

_ALWAYS = (400, 403, 421, 422, 429, 503)
_WITH_BODY = (408, 413, 415)
_DESCRIPTION = """Search for similar images in an index. Nothing can be changed. Refusals are
problem documents (RFC 9457), whose `detail` says what to do.""".replace("\n", " ")


def openapi_document(
    operations: Iterable[Operation], limits: ServiceLimits, *, token: bool
) -> Document:
    """Return the document.

    Args:
        operations: What the service can do.
        limits: What a request may ask for.
        token: Whether it asks for a token.
    """
    paths: dict[str, dict[str, JSONValue]] = {}
    for each in operations:
        guarded = token and (each.path.startswith("/api/") or each.path == "/metrics")
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, limits, guarded)
    schemes = {"token": {"type": "http", "scheme": "bearer"}} if token else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "onnxsearch", "version": VERSION, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM_SCHEMA}, "securitySchemes": schemes},
    }


def _operation(operation: Operation, limits: ServiceLimits, guarded: bool) -> Document:
    document: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": _responses(operation, guarded),
    }
    parameters = [] if operation.files is not None else list(map(_query, operation.parameters))
    if operation.has_id:
        parameters.append(_PATH_ID)
    if parameters:
        document["parameters"] = parameters
    if operation.files is not None:
        document["requestBody"] = _body(operation.parameters, operation.files, limits.images)
    if guarded:
        document["security"] = [{"token": []}]
    return document


_PATH_ID: Document = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of an image; slashes as %2F or as they are.",
    "schema": {"type": "string", "minLength": 1},
}


def _query(parameter: Parameter[object]) -> Document:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": _schema(parameter),
    }


def _schema(parameter: Parameter[object]) -> Mapping[str, JSONValue]:
    return {"type": "array", "items": parameter.schema} if parameter.repeated else parameter.schema


def _body(parameters: Iterable[Parameter[object]], files: Mapping[str, str], most: int) -> Document:
    fields: dict[str, JSONValue] = {
        each.name: {**_schema(each), "description": each.description} for each in parameters
    }
    images: dict[str, JSONValue] = {
        name: {
            "type": "array",
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
            "maxItems": most,
            "description": description,
        }
        for name, description in files.items()
    }
    return {
        "required": True,
        "content": {
            MULTIPART: {"schema": _closed({**images, **fields})},
            URLENCODED: {"schema": _closed(fields)},
        },
    }


def _closed(properties: Mapping[str, JSONValue]) -> Document:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _responses(operation: Operation, guarded: bool) -> Document:
    statuses = {*_ALWAYS, *operation.problems}
    statuses |= set(_WITH_BODY) if operation.files is not None else set()
    statuses |= {401} if guarded else set()
    answers: Document = {"200": {"description": "The answer.", "content": operation.answer}}
    for status in sorted(statuses):
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return answers
