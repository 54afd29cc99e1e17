"""HTTP service and page over an engine, and tools for agents.

`onnxsearch serve` runs the service. `create_app` returns it as an ASGI application; it needs
the extra `serve`. `onnxsearch.serving.mcp` holds the tools for agents.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from onnxsearch.errors import MissingExtraError

if TYPE_CHECKING:
    from onnxsearch.serving.app import create_app
    from onnxsearch.serving.limits import ServiceLimits

PACKAGES = ("prometheus_client", "python_multipart", "starlette", "uvicorn")
"""Packages of the extra `serve`."""

__all__ = ["ServiceLimits", "create_app"]


def __getattr__(name: str) -> object:
    """Import the service on first use: the tools for agents need other packages."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = {"create_app": "app", "ServiceLimits": "limits"}[name]
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise MissingExtraError.for_package(str(error.name), extra="serve") from error
