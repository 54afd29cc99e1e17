"""The version of the package, for its modules."""

from __future__ import annotations

VERSION = "0.1.0"
