"""Text that is safe to put into a report."""

from __future__ import annotations

import html
import json


def escaped(text: str) -> str:
    """Return `text` as HTML shows it: never a tag, a quote or invalid Unicode."""
    return html.escape(valid(text), quote=True)


def valid(text: str) -> str:
    """Return `text` with whatever is not valid Unicode, as in some file names, escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def script_json(value: object) -> str:
    """Return JSON that is safe between script tags: ASCII, and without anything like a tag."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
