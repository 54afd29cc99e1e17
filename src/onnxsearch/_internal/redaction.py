"""Secrets that are left out of messages, reprs and logs."""

from __future__ import annotations

import re


def may_hold_password(text: str) -> bool:
    """Return whether `text` reads like a URL with a password whose `scheme://` is incomplete.

    For whatever takes URLs and paths alike, so that it neither makes a file of that
    name nor shows it.

    Example:
        >>> may_hold_password("user:hunter2@localhost:6379"), may_hold_password("me@home/album")
        (True, False)
    """
    # "user:password@" before any folder separator.
    user, at, _ = re.split(r"[/\\]", text, maxsplit=1)[0].partition("@")
    if at and ":" in user:
        return True
    # "scheme:/" and an "@" anywhere after it. A scheme of one letter is a drive.
    scheme, slash, rest = text.partition(":/")
    return bool(slash) and re.fullmatch(r"\w{2,}", scheme) is not None and "@" in rest


def without_secrets(address: str) -> str:
    """Return `address` with its user name, password and query left out.

    Use it for every address that goes into a message, a repr or a log. What stands
    before the last "@" goes, for a password may hold any character; paths stay whole.

    Example:
        >>> without_secrets("redis://user:hunter2@db.example:6379/0?password=x")
        'redis://***@db.example:6379/0'
    """
    scheme, found, rest = address.partition("://")
    if not found:
        return f"***@{address.rpartition('@')[2]}" if may_hold_password(address) else address
    hidden, at, place = rest.rpartition("@")
    if "?" in hidden:  # It may be a value in the query that holds the "@".
        return f"{scheme}://***"
    shown = re.split("[?#]", place)[0]
    return f"{scheme}://***@{shown}" if at else f"{scheme}://{shown}"
