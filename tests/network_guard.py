"""Fails tests that open connections to other machines, or any sockets at all.

Python reports sockets to audit hooks, also those of other libraries. Those that libraries open
without Python, such as gRPC's, are not seen.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_violations: list[str] = []
_refusing_all = False


class ForeignConnectionError(PermissionError):
    """A test reaches for another machine, or for a socket where none is allowed."""


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not event.startswith("socket."):
        return
    if _refusing_all:
        _refuse(f"{event} {arguments[1:]!r:.200} where no socket is allowed")
    elif event in ("socket.connect", "socket.sendto") and _is_foreign(arguments[1]):
        _refuse(f"{event} {arguments[1]!r:.200}: expected a loopback address")


def _refuse(what: str) -> None:
    _violations.append(what)
    raise ForeignConnectionError(what)


def _is_foreign(address: object) -> bool:
    # Paths are Unix sockets; other families than IP do not leave the machine.
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return False
    host = address[0].partition("%")[0]
    if host in ("localhost", ""):
        return False
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return True
    return not (found.is_loopback or found.is_unspecified)


sys.addaudithook(_watch)


@contextmanager
def only_loopback() -> Iterator[None]:
    """Fail if the block connects to another machine, also if the error is caught inside."""
    before = len(_violations)
    yield
    found = _violations[before:]
    del _violations[before:]  # a block around this one does not report them again
    assert found == []


@contextmanager
def no_sockets() -> Iterator[None]:
    """Fail if the block makes, connects or binds any socket, or looks a name up."""
    global _refusing_all
    _refusing_all = True
    try:
        with only_loopback():
            yield
    finally:
        _refusing_all = False
