"""Text that is safe to put into a report."""

from __future__ import annotations

import html


def escaped(text: str) -> str:
    """Return `text` as HTML shows it: never a tag, a quote or invalid Unicode."""
    return html.escape(valid(text), quote=True)


def valid(text: str) -> str:
    """Return `text` with whatever is not valid Unicode, as in some file names, escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
