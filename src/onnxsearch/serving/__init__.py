"""HTTP service and page over an engine; needs the extra `serve`.

`onnxsearch serve` runs the service. `create_app` returns it as an ASGI application.
"""

from __future__ import annotations

from onnxsearch.errors import MissingExtraError

PACKAGES = ("prometheus_client", "python_multipart", "starlette", "uvicorn")
"""Packages of the extra `serve`."""

try:
    from onnxsearch.serving.app import create_app
    from onnxsearch.serving.limits import ServiceLimits
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in PACKAGES:
        raise
    raise MissingExtraError.for_package(str(error.name), extra="serve") from error

__all__ = ["ServiceLimits", "create_app"]
