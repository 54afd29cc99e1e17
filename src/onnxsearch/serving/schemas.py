"""Schemas of the answers, as OpenAPI 3.1 describes them (JSON Schema 2020-12)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from onnxsearch.types import JSONValue

Schema = Mapping[str, JSONValue]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_METADATA: Schema = {"type": "object", "description": "The metadata of the image."}


def _object(properties: Mapping[str, Schema], optional: Collection[str] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _json(schema: Schema) -> Mapping[str, JSONValue]:
    return {"application/json": {"schema": schema}}


_IMAGE: Mapping[str, Schema] = {
    "id": _TEXT,
    "name": {"type": "string", "description": "A short name to show: that of the file."},
    "uri": {
        "type": ["string", "null"],
        "description": "Path or address that the image came from.",
    },
    "thumbnail": {"type": ["string", "null"], "description": "Link to a thumbnail."},
    "image": {"type": ["string", "null"], "description": "Link to the file."},
    "record": {"type": "string", "description": "Link to the record."},
    "similar": {"type": "string", "description": "Link to a search for similar images."},
    "metadata": _METADATA,
}
_LINKS = ("thumbnail", "image", "record", "similar")

_HIT = _object(
    {
        **_IMAGE,
        "distance": {"type": "number", "description": "Distance to the query; smaller is nearer."},
        "score": {"type": "number", "description": "Higher is better, whatever the metric."},
        "similarity": {"type": ["number", "null"], "description": "The cosine; null if fused."},
        "model": _TEXT,
        "region": {
            "type": ["array", "null"],
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 4,
            "maxItems": 4,
            "description": "Where in the image the query was found: left, top, right and bottom, "
            "in fractions of its sides; null unless regions were searched.",
        },
    }
)
_STORED: Mapping[str, Schema] = {
    "models": _list(_TEXT),
    "paths": {**_list(_TEXT), "description": "Files that show the image, copies included."},
    "bytes": {"type": ["integer", "null"]},
    "modified": {"type": ["string", "null"], "description": "Time of the file, ISO 8601 in UTC."},
}
_RECORD = _object({**_IMAGE, **_STORED})
_COPY: Schema = {"type": "boolean", "description": "An exact copy, stored under another id."}
_MEMBER = _object({**_IMAGE, **_STORED, "copy": _COPY}, optional=(*_LINKS, *_STORED, "copy"))
_RANKING = {"model": _TEXT, "metric": _TEXT_OR_NULL, "hits": _list(_HIT)}

_AGREEMENT = _object(
    {
        "models": _list(_TEXT),
        "overlap": _NUMBER,
        "rank_biased_overlap": _NUMBER,
        "kendall_tau": _NUMBER_OR_NULL,
    }
)
_MODEL = _object(
    {
        "name": _TEXT,
        "dimension": _COUNT,
        "metric": _TEXT,
        "text": _FLAG,
        "default": _FLAG,
        "regions": {
            "type": ["string", "null"],
            "description": "The model that finds images in which the query is a part.",
        },
    }
)
_FIELDS: Schema = {
    "type": "object",
    "description": "Metadata fields of some images, with some of their values.",
    "additionalProperties": _object({"types": _list(_TEXT), "values": _list({})}),
}

SEARCH = _json(_object({**_RANKING, "took_ms": _NUMBER}))
COMPARISON = _json(
    _object(
        {"models": _list(_object(_RANKING)), "agreement": _list(_AGREEMENT), "took_ms": _NUMBER}
    )
)
DUPLICATES = _json(
    _object(
        {"model": _TEXT, "max_distance": _NUMBER, "count": _COUNT, "groups": _list(_list(_MEMBER))}
    )
)
RECORDS = _json(_object({"count": _COUNT, "records": _list(_RECORD)}))
RECORD = _json(_RECORD)
INFO = _json(
    _object(
        {
            "version": _TEXT,
            "count": _COUNT,
            "models": _list(_MODEL),
            "fields": _FIELDS,
            "limits": _object({"upload_bytes": _COUNT, "images": _COUNT, "top_k": _COUNT}),
        }
    )
)
STATUS = _json(_object({"status": _TEXT}))
METRICS: Mapping[str, JSONValue] = {"text/plain": {"schema": _TEXT}}
OPENAPI = _json({"type": "object"})
THUMBNAIL: Mapping[str, JSONValue] = {"image/jpeg": {}}
IMAGE: Mapping[str, JSONValue] = {"image/*": {}, "application/octet-stream": {}}

PROBLEM = _object(
    {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was given, what was expected."},
        "argument": {"type": "string", "description": "The parameter at fault."},
        "error": {"type": "string", "description": "The class of the error in the library."},
    },
    optional=("argument", "error"),
)
