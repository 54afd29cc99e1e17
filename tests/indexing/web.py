"""A web server on a loopback address that behaves as its paths say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Web:
    """A server, and what it was asked."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Paths and headers of the requests."""
    connections: int = 0

    def serve(self, path: str, data: bytes, status: int = 200, **headers: str) -> str:
        """Answer requests of `path`; return its URL."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in headers:
                request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)

        return self.behave(path, answer)

    def behave(self, path: str, answer: Answer) -> str:
        self.answers[path] = answer
        return self.url + path


@contextmanager
def serving(address: str = "127.0.0.1") -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            web.connections += 1
            super().setup()

        def do_GET(self) -> None:
            web.asked.append((self.path, dict(self.headers)))
            missing = self.path.partition("?")[0] not in web.answers
            with suppress(OSError):  # the client may leave at any time
                if missing:
                    self.send_error(404)
                else:
                    web.answers[self.path.partition("?")[0]](self)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    web = Web(f"http://{address}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def listening() -> Iterator[tuple[int, list[object]]]:
    """Listen on a port of the loopback addresses; yield it, and the connections made."""
    met: list[object] = []
    sockets = [socket.create_server(("127.0.0.1", 0))]
    port = sockets[0].getsockname()[1]
    with suppress(OSError):
        sockets.append(socket.create_server(("::1", port), family=socket.AF_INET6))
    yield port, met
    for server in sockets:
        server.settimeout(0)
        with suppress(BlockingIOError):
            met.append(server.accept())
        server.close()
