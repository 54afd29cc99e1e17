"""Tools for agents that speak the Model Context Protocol; needs the extra `mcp`.

`onnxsearch mcp` serves them to the program that starts it. `create_mcp_server` returns the server.
"""

from __future__ import annotations

from onnxsearch.errors import MissingExtraError

PACKAGES = ("mcp", "mcp_types", "pydantic")
"""Packages of the extra `mcp`."""

try:
    from onnxsearch.serving.mcp.server import create_mcp_server
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in PACKAGES:
        raise
    raise MissingExtraError.for_package("mcp", extra="mcp") from error

__all__ = ["create_mcp_server"]
