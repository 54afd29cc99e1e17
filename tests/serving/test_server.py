"""The service over a socket: hostile files and requests, slow clients, the end."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from onnxsearch import SearchEngine
from onnxsearch.testing import picture_bytes
from tests.serving.service_process import (
    CHILD,
    ServiceProcess,
    form,
    received,
    request_bytes,
    status_of,
)

pytestmark = pytest.mark.integration

# SIGINT counts also where the tests run in the background, whose processes ignore it.
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from onnxsearch.cli import main; main()"
)
SECONDS = 1.0
"""How long the service waits for slow clients."""
MOST_GROWTH = 64 * 2**20
"""Bytes by which the memory may grow once it was used: caches and fragments, no leak."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, album: Path) -> Path:
    location = tmp_path_factory.mktemp("served") / "index"
    with SearchEngine.open(location) as engine:
        engine.index(album, root=album, metadata=lambda path: {"kind": path.parent.name})
    return location


@pytest.fixture(scope="module")
def service(index: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess([CHILD, index, str(SECONDS)]) as service:
        yield service
        code, errors = service.stop()
        assert code == 0
        assert "Traceback" not in errors  # libraries remark on damaged images


def upload(data: bytes) -> bytes:
    header, body = form([("image.jpg", data), ("top_k", b"3")])
    return request_bytes("/api/search", method="POST", headers=[header], body=body)


def is_healthy(service: ServiceProcess) -> bool:
    return status_of(service.exchange(request_bytes("/ready"))) == 200


@pytest.mark.timeout(900)
def test_hostile_files(service: ServiceProcess, shared: Callable[[str], Path]) -> None:
    folder = shared("data/hostile")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 400
    random.Random(410).shuffle(files)
    statuses: dict[Path, int] = {}
    sizes: list[int] = []

    def send(path: Path) -> None:
        statuses[path] = status_of(service.exchange(upload(path.read_bytes())))

    with ThreadPoolExecutor(4) as pool:
        for half in (files[: len(files) // 2], files[len(files) // 2 :]):
            list(pool.map(send, half))
            sizes.append(service.resident)
    assert {path: status for path, status in statuses.items() if status not in ALLOWED} == {}
    assert 200 in statuses.values()
    assert sizes[1] - sizes[0] < MOST_GROWTH
    assert is_healthy(service)


ALLOWED = (200, 413, 415, 422)


def requests(index: Path) -> list[bytes]:
    """Return requests that are answered."""
    with SearchEngine.open(index) as engine:
        id = next(iter(engine.records(order_by="id"))).id
    image = picture_bytes("cat")
    searched = form([("image.png", image), ("id", id.encode()), ("filter", b"kind != 'cat'")])
    compared = form([("image.png", image), ("models", b"a"), ("models", b"b")])
    encoded = "Content-Type: application/x-www-form-urlencoded"
    return [
        request_bytes("/api/search", method="POST", headers=[searched[0]], body=searched[1]),
        request_bytes("/api/compare", method="POST", headers=[compared[0]], body=compared[1]),
        request_bytes(
            "/api/search", method="POST", headers=[encoded], body=f"id={quote(id)}&top_k=3".encode()
        ),
        request_bytes(f"/api/search?id={quote(id)}&top_k=5&group_by=kind&group_size=2"),
        request_bytes("/api/records?filter=kind%20in%20%5B%27cat%27%5D&order_by=-id&limit=3&offset=1"),
        request_bytes(f"/api/records/{quote(id, safe='')}"),
        request_bytes(f"/api/thumbnails/{quote(id, safe='')}?size=64"),
        request_bytes(f"/api/images/{quote(id, safe='')}", headers=['If-None-Match: "x"']),
        request_bytes("/api/duplicates?max_distance=0.5&limit=2"),
        request_bytes("/api/info"),
        request_bytes("/openapi.json", method="HEAD"),
    ]  # fmt: skip


TOKENS = [
    b"\0", b"\r\n", b"\r\n\r\n", b"\n", b"--b0undary", b"--b0undary--", b"%00", b"%ff", b"%",
    b"%2e%2e%2f", b"../../../../etc/passwd", b"/etc/passwd", b"..%2f..%2f", b"//", b"\\..\\",
    b"'", b'"', b"' or true", b"\xff\xfe", "\U0001f600".encode(), "e\u0301\u202e".encode(),
    b"\xed\xa0\x80", b"-1", b"1e308", b"NaN",
    b"99999999999999999999", b"0x10", b"true", b"null", b"[]", b"{}", b"&", b"=", b";", b"?", b"#",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"Range: bytes=0-5\r\n",
    b"Host: evil.example\r\n", b"; charset=utf-7", b"; charset=idna", b"boundary=" + b"x" * 300,
    b"filename*=utf-8''%ff", b"A" * 5_000, b"(" * 200, b"not " * 100,
]  # fmt: skip


def mutated(request: bytes, random: random.Random) -> bytes:
    """Return a request that differs in one to four places."""
    data = bytearray(request)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(data) + 1)
        end = min(len(data), start + random.choice([1, 1, 2, 8, 60]))
        match random.randrange(6):
            case 0:
                data[start:start] = random.choice(TOKENS)
            case 1:
                data[start:end] = random.choice(TOKENS)
            case 2:
                del data[start:end]
            case 3:
                data[start:start] = data[start:end] * random.choice([1, 3, 50])
            case 4:
                data[start:end] = random.randbytes(end - start)
            case 5:
                lines = data.split(b"\r\n")
                random.shuffle(lines)
                data = bytearray(b"\r\n".join(lines)) if random.random() < 0.3 else data
    return bytes(data)


@pytest.mark.timeout(900)
def test_mutated_requests(service: ServiceProcess, index: Path) -> None:
    whole = requests(index)
    for request in whole:
        assert status_of(service.exchange(request)) in (200, 422), request
    chance = random.Random(2026)
    bad = [mutated(chance.choice(whole), chance) for _ in range(1_000)]
    statuses: list[int] = []
    sizes: list[int] = []
    with ThreadPoolExecutor(16) as pool:
        for start in (0, 300):
            part = bad[start : start + 700] if start else bad[:300]
            statuses += map(status_of, pool.map(service.exchange, part))
            sizes.append(service.resident)
    assert [request for request, status in zip(bad, statuses, strict=True) if status >= 500] == []
    assert {200, 400, 404} <= set(statuses)
    assert sizes[1] - sizes[0] < MOST_GROWTH
    assert is_healthy(service)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/app.py",
        "/../app.py",
        "//etc/passwd",
        "/api/images//etc/passwd",
        "/api/images/%2Fetc%2Fpasswd",
        "/api/images/..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/api/images/%2e%2e/%2e%2e/etc/passwd",
        "/api/images/C:%5CWindows%5Cwin.ini",
        "/api/thumbnails/%2Fetc%2Fpasswd",
        "/api/images/cat%2Fcat.jpg%00.png",
    ],
)
def test_paths_that_lead_out(service: ServiceProcess, path: str) -> None:
    answer = service.exchange(request_bytes(path))
    assert status_of(answer) == 404
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 100_000]
)
def test_what_is_no_http(service: ServiceProcess, request_: bytes) -> None:
    answer = service.exchange(request_)
    # 0 if the rest of the request arrived too late; 421 if the parser reads on: no host is named.
    assert status_of(answer) in (0, 400, 421)
    assert status_of(answer) == 0 or b"application/problem+json" in answer


def test_declared_size_is_refused_at_once(service: ServiceProcess) -> None:
    with service.connect() as connection:
        head = request_bytes("/api/search", method="POST", headers=["Content-Length: 99999999999"])
        connection.sendall(head)
        assert status_of(received(connection)) == 413


def test_size_is_counted_while_it_arrives(service: ServiceProcess) -> None:
    header, _ = form([])
    lines = [header, "Transfer-Encoding: chunked"]
    with service.connect() as connection:
        connection.sendall(request_bytes("/api/search", method="POST", headers=lines))
        part = b'--b0undary\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + bytes(2**20)
        sent = 0
        try:
            while sent < 200 * 2**20:
                connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                sent += len(part)
                part = bytes(2**20)
        except OSError:
            pass
        answer = received(connection)
    # Only the answer may be lost, if the connection was closed before it was read.
    assert status_of(answer) in (0, 413)
    assert sent < 150 * 2**20 or status_of(answer) == 413
    assert is_healthy(service)


def test_upload_that_stalls(service: ServiceProcess) -> None:
    request = upload(bytes(100_000))
    with service.connect() as connection:
        connection.sendall(request[:50_000])
        assert status_of(received(connection)) == 408


def test_upload_that_trickles(service: ServiceProcess) -> None:
    request = upload(bytes(100_000))
    started = time.monotonic()
    with service.connect() as connection:
        connection.sendall(request[:500])
        connection.settimeout(SECONDS / 4)
        answer, place = b"", 500
        while not answer and time.monotonic() - started < 30 * SECONDS:
            try:
                connection.sendall(request[place : place + 1])
                place += 1
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert status_of(answer) == 408


def test_upload_whose_client_leaves(service: ServiceProcess) -> None:
    request = upload(bytes(100_000))
    with service.connect() as connection:
        connection.sendall(request[:50_000])
        connection.shutdown(socket.SHUT_WR)
        assert status_of(received(connection)) in (0, 400)
    for _ in range(50):
        with service.connect() as connection:
            connection.sendall(request[:50_000])
    assert is_healthy(service)


@pytest.mark.parametrize("start", [b"", b"GET /health HTTP/1.1\r\nHost: localho"])
def test_connections_that_ask_nothing_are_closed(service: ServiceProcess, start: bytes) -> None:
    started = time.monotonic()
    with service.connect() as connection:
        connection.sendall(start)
        assert received(connection) == b""
    assert time.monotonic() - started < 30 * SECONDS


def test_head_that_trickles(service: ServiceProcess) -> None:
    started = time.monotonic()
    with service.connect() as connection:
        connection.settimeout(SECONDS / 4)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        ended = False
        while not ended and time.monotonic() - started < 30 * SECONDS:
            try:
                connection.sendall(b"X-Filler: x\r\n")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
    assert ended


def test_refused_upload_that_goes_on(service: ServiceProcess) -> None:
    """What follows a refusal is not read for ever."""
    with service.connect() as connection:
        lines = ["Content-Type: text/plain", "Content-Length: 9000000"]
        head = request_bytes("/api/search", method="POST", headers=lines)
        connection.sendall(head.replace(b"Connection: close\r\n", b""))
        started, ended = time.monotonic(), False
        while not ended and time.monotonic() - started < 30 * SECONDS:
            try:
                connection.sendall(b"x")
                time.sleep(SECONDS / 4)
            except ConnectionError:
                ended = True
    assert ended


def test_connection_serves_many_requests(service: ServiceProcess) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        for _ in range(5):
            connection.request("GET", "/api/info")
            answer = connection.getresponse()
            assert json.load(answer)["count"] == 42


def test_command_of_the_readme_shows_the_album(tmp_path: Path, album: Path) -> None:
    readme = album.parents[1].joinpath("README.md").read_text(encoding="utf-8")
    assert "onnxsearch serve --index examples/album" in readme
    options = ["serve", tmp_path / "index", "--index", album, "--port", "0"]
    with ServiceProcess(["-c", COMMAND, *options]) as service:
        info = service.exchange(request_bytes("/api/info"))
        assert json.loads(info.partition(b"\r\n\r\n")[2])["count"] == 42
        page = service.exchange(request_bytes("/"))
        assert status_of(page) == 200
        assert b"<html" in page


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_ends_with_its_answers(index: Path, number: int) -> None:
    command = ["-c", COMMAND, "serve", index, "--port", "0"]
    with ServiceProcess(command) as service, ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(service.exchange, upload(picture_bytes("cat"))) for _ in range(4)]
        time.sleep(0.2)
        code, errors = service.stop(number)
        assert (code, errors) == (0, "")
        assert {status_of(search.result()) for search in searches} <= {0, 200}
