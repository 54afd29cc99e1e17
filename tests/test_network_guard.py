"""The guard around the whole suite sees what it is to see."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from tests.network_guard import ForeignConnectionError, no_sockets, only_loopback


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("2001:db8::1", 9)])
def test_other_machines_are_refused(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # That a library swallows the error does not hide it.
    with (
        socket.socket(family) as end,
        pytest.raises(AssertionError),
        only_loopback(),
        suppress(OSError),
    ):
        end.connect(address)


def test_this_machine_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, only_loopback():
        socket.create_connection(server.getsockname()).close()


def test_without_sockets_there_is_none() -> None:
    with pytest.raises(AssertionError), no_sockets(), pytest.raises(ForeignConnectionError):
        socket.socket()
    with no_sockets():
        pass
    socket.socket().close()
