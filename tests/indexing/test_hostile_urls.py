"""Hostile URLs and servers: each gives an outcome, soon, and no private address is reached."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from onnxsearch import Remote, RemotePolicy
from onnxsearch.indexing.sources import addresses
from tests.indexing.reading import MEMORY, cost, errors, jpeg, results
from tests.indexing.web import Answer, Web, listening, serving

IMAGE = jpeg()
MIB = 2**20
HERE = RemotePolicy(allow_private=True, timeout=10, max_bytes=MIB)
SOON = RemotePolicy(allow_private=True, timeout=0.3, max_bytes=MIB)

PRIVATE = (
    "127.0.0.1",
    "localhost",
    "localhost.",
    "me:hunter2@127.0.0.1",
    "example.org@127.0.0.1",
    "127.1",
    "127.255.255.254",
    "0.0.0.0",
    "0",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "①②⑦.0.0.1",
    "127。0。0。1",
)
"""Notations of this machine."""

ELSEWHERE = (
    "10.0.0.1",
    "100.64.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "nonsense",
)

NOT_READ = (
    ("file:///etc/passwd", "is a local file"),
    ("local:///etc/passwd", "is a local file"),
    ("FILE:///etc/passwd", "is a local file"),
    ("/etc/passwd", "is not a URL"),
    ("//host/a.jpg", "is not a URL"),
    ("javascript:alert(1)", "is not a URL"),
    ("data:image/png;base64,AAAA", "is not a URL"),
    ("ftp://host/a.jpg", "protocol 'ftp'"),
    ("gopher://127.0.0.1:6379/_SET", "protocol 'gopher'"),
    ("dict://127.0.0.1:6379/INFO", "protocol 'dict'"),
    ("s3://bucket/a.jpg", "protocol 's3'"),
    ("memory://a.jpg", "protocol 'memory'"),
    ("zip://a.jpg::file:///etc/a.zip", "several file systems"),
    ("zip://a.jpg::http://127.0.0.1/a.zip", "several file systems"),
    ("simplecache::http://127.0.0.1/a.jpg", "several file systems"),
    ("reference://::file:///etc/a.json", "several file systems"),
    ("http:///a.jpg", "no host|cannot be downloaded"),
    ("http://[::1/a.jpg", "cannot be downloaded"),
    ("http://host:99999999/a.jpg", "no port"),
    ("http://host:port/a.jpg", "cannot be downloaded"),
    ("http://ho st/a.jpg", "no address"),
    ("http://" + "a" * 300 + "/a.jpg", "no address|cannot be downloaded"),
    ("http://h/" + "a" * 9000, "is not a URL"),
    ("http://h/a\r\nHost: other", "is not a URL"),
    ("http://h/a\0.jpg", "is not a URL"),
    ("http://xn--a\u0301/a.jpg", "cannot be downloaded|no address"),
)


@pytest.mark.parametrize("host", PRIVATE)
def test_no_notation_of_this_machine_is_reached(host: str) -> None:
    with listening() as (port, met):
        remote = Remote(f"http://{host}:{port}/a.jpg", RemotePolicy(timeout=5))
        found = results(remote)
        message = errors(remote)
    assert set(found.values()) <= {"unsupported", "broken"}
    assert met == []
    assert "hunter2" not in message + str(found)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_no_address_of_a_private_network_is_public(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(("url", "reason"), NOT_READ)
def test_a_url_that_is_not_read_gives_an_outcome(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = errors(Remote(url))
    assert any(part in message for part in reason.split("|")), message


def unknown(*args: object, **options: object) -> Any:
    raise socket.gaierror(-2, "Name or service not known")


def resolving(*rounds: list[str]) -> Callable[..., Any]:
    """Return a resolver that gives other addresses each time it is asked."""
    left = list(rounds)

    def resolve(host: str, port: int, *args: object, **options: object) -> Any:
        numeric = host.replace(".", "").isdecimal()
        found = [host] if numeric else left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    return resolve


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that changes after the check is not connected to."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.2")
    with serving("127.0.0.2") as web, listening() as (_, met):
        port = int(web.url.rpartition(":")[2])
        web.serve("/a.jpg", IMAGE)
        monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.2"], ["127.0.0.1"]))
        url = f"http://rebinding.example:{port}/a.jpg"
        assert results(Remote(url)) == {url: "image"}
    assert met == []


def test_private_addresses_among_public_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.2")
    with serving("127.0.0.2") as web:
        port = int(web.url.rpartition(":")[2])
        web.serve("/a.jpg", IMAGE)
        monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1", "127.0.0.2"]))
        url = f"http://both.example:{port}/a.jpg"
        assert results(Remote(url)) == {url: "image"}


def test_a_redirect_to_a_private_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.2")
    with serving("127.0.0.2") as web, listening() as (port, met):
        url = web.serve("/a.jpg", b"", 302, Location=f"http://127.0.0.1:{port}/secret")
        assert results(Remote(url)) == {url: "unsupported"}
    assert met == []


def raw(data: bytes) -> Answer:
    """Answer with these bytes, instead of with HTTP."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(data)
        request.close_connection = True

    return answer


def dripping(start: bytes, drop: bytes) -> Answer:
    """Answer a little at a time, until the client leaves."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.wfile.write(start)
        for _ in range(600):
            request.wfile.write(drop)
            time.sleep(0.02)

    return answer


def endless(chunk: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + IMAGE)
        for _ in range(10_000):
            request.wfile.write(chunk)

    return answer


def answered(data: bytes, *headers: bytes, status: bytes = b"200 OK") -> Answer:
    return raw(b"\r\n".join((b"HTTP/1.1 " + status, *headers, b"", data)))


def bomb(size: int) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    return coder.compress(IMAGE) + coder.compress(bytes(size)) + coder.flush()


HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d"

SERVERS: Mapping[str, tuple[Answer, RemotePolicy, str]] = {
    "body that drips": (dripping(HEAD + LENGTH % 9999 + b"\r\n\r\n", b"\xff"), SOON, "0.3 seconds"),
    "headers that drip": (dripping(HEAD, b"X-A: b\r\n"), SOON, "0.3 seconds"),
    "status that drips": (dripping(b"HTTP/1.1 200 ", b"O"), SOON, "0.3 seconds"),
    "silence": (lambda request: time.sleep(0.5), SOON, "0.3 seconds"),
    "body without an end": (endless(bytes(65536)), HERE, "more than 1,048,576 bytes"),
    "headers without an end": (raw(HEAD + b"X: y\r\n" * 200_000), HERE, "cannot be downloaded"),
    "header of a megabyte": (raw(HEAD + b"X: " + b"y" * MIB), HERE, "cannot be downloaded"),
    "interim answers without an end": (
        dripping(b"", b"HTTP/1.1 103 Early\r\n\r\n"), SOON, "0.3 seconds"),
    "length of exabytes": (answered(IMAGE, LENGTH % 2**60), HERE, "more than"),
    "length of letters": (answered(IMAGE, b"Content-Length: lots"), HERE, "cannot be downloaded"),
    "two lengths": (
        answered(IMAGE, LENGTH % 3, LENGTH % 4), HERE, "cannot be downloaded"),
    "length that promises more": (
        answered(IMAGE, LENGTH % (len(IMAGE) + 5)), HERE, "cannot be downloaded"),
    "chunks of noise": (
        answered(b"zz\r\n" + IMAGE, b"Transfer-Encoding: chunked"), HERE, "cannot be downloaded"),
    "no HTTP": (raw(IMAGE), HERE, "cannot be downloaded"),
    "nothing": (raw(b""), HERE, "cannot be downloaded"),
    "empty body": (answered(b"", LENGTH % 0), HERE, "not an image"),
    "gzip bomb": (answered(bomb(20 * MIB), b"Content-Encoding: gzip"), HERE, "more than"),
    "gzip in gzip": (
        answered(gzip.compress(bomb(MIB)), b"Content-Encoding: gzip, gzip"), HERE, "encoded by"),
    "Brotli": (answered(IMAGE, b"Content-Encoding: br"), HERE, "encoded by 'br'"),
    "gzip of noise": (answered(IMAGE, b"Content-Encoding: gzip"), HERE, "cannot be downloaded"),
    "gzip that is cut": (
        answered(gzip.compress(IMAGE)[:-30], b"Content-Encoding: gzip"), HERE, "cut short"),
    "page instead of an image": (
        answered(b"<html>sign in</html>" * 50, b"Content-Type: image/jpeg"), HERE, "not an image"),
    "redirect to itself": (
        answered(b"", b"Location: /it", LENGTH % 0, status=b"302 Found"), HERE, "more than 5"),
    "redirect to a file": (
        answered(b"", b"Location: file:///etc/passwd", status=b"301 M"), HERE, "a local file"),
    "redirect to another protocol": (
        answered(b"", b"Location: gopher://h/_x", status=b"301 M"), HERE, "protocol 'gopher'"),
    "redirect to no URL": (
        answered(b"", b"Location: http://[::1", status=b"301 M"), HERE, "cannot be downloaded"),
    "redirect to nowhere": (answered(b"", status=b"301 M"), HERE, "without saying where"),
    "missing": (answered(b"", status=b"404 N"), HERE, "answers 404"),
    "gone": (answered(b"", status=b"410 G"), HERE, "answers 410"),
    "forbidden": (answered(b"", status=b"403 F"), HERE, "answers 403"),
    "failing": (answered(b"", status=b"500 E"), HERE, "answers 500"),
    "part of an image": (answered(IMAGE, status=b"206 P"), HERE, "answers 206"),
    "switch of protocols": (answered(b"", status=b"101 S"), HERE, "cannot be downloaded"),
    "busy for a day": (
        answered(b"", b"Retry-After: 86400", status=b"503 B"), HERE, "wait 86400 seconds"),
    "busy until a date": (
        answered(b"", b"Retry-After: Fri, 31 Dec 2100 23:59:59 GMT", status=b"429 B"),
        HERE,
        "seconds",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.mark.parametrize("kind", SERVERS)
def test_a_hostile_server_gives_an_outcome(
    web: Web, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.indexing.sources.downloads._PAUSES", (0.01, 0.02))
    answer, policy, reason = SERVERS[kind]
    remote = Remote(web.behave("/it", answer) + "?token=hunter2", policy)
    message = ""

    def read() -> None:
        nonlocal message
        message = errors(remote)

    assert cost(read) < MEMORY
    assert reason in message
    assert "hunter2" not in message


def test_an_image_of_too_many_pixels_is_not_decoded(web: Web) -> None:
    header = b"P6 100000 100000 255\n"
    url = web.behave("/large.ppm", answered(header, LENGTH % len(header)))
    assert results(Remote(url, HERE)) == {url: "too_large"}
