"""Which network addresses a download may reach.

Names are resolved once, here, and the connection goes to the address that was checked: a name
that changes its address between the check and the connection (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from onnxsearch.errors import BrokenImageError, UnsupportedImageError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is assigned to hosts on the internet."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses whose last four bytes are an IPv4 address, RFC 6052."""
_METADATA = ipaddress.IPv4Address("168.63.129.16")
"""Azure's platform service, the only one of its kind at a public address."""


def addresses_of(host: str, port: int, *, allow_private: bool) -> Sequence[str]:
    """Return the numeric addresses of a host that a connection may use.

    Args:
        host: A name or an address in any notation.
        port: The port of the service.
        allow_private: Whether private addresses are among them.

    Raises:
        UnsupportedImageError: The host has private addresses only.
        BrokenImageError: It has none.
    """
    if not 0 <= port < 2**16:
        raise BrokenImageError(f"host {host!r:.300} has no port {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: a name in no encoding
        raise BrokenImageError(f"host {host!r:.300} has no address: {error}") from error
    # Only addresses of these two families have a host first.
    numeric = dict.fromkeys(str(address[0]) for family, *_, address in found if family in _FAMILIES)
    public = [each for each in numeric if allow_private or is_public(each)]
    if not public:
        raise UnsupportedImageError(
            f"host {host!r:.300} is on a private network ({', '.join(numeric):.200}), which is not "
            "read: pass allow_private=True if its images are meant"
        )
    return public


def is_public(address: str) -> bool:
    """Return whether a numeric address is one of a host on the internet.

    Private are loopback, link-local, multicast, reserved and unassigned addresses, and IPv6
    addresses that stand for such an IPv4 address.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _is_public(parsed)


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and address != _METADATA
    inner = _inner(address)
    if inner is not None:
        return _is_public(inner)
    return address in _GLOBAL_UNICAST and address.is_global and not address.is_multicast


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, None for any other."""
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour
