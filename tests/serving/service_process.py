"""The service in a process of its own, and requests to it byte by byte."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from onnxsearch._internal.closeable import Closeable

CHILD = Path(__file__).with_name("service_child.py")


class ServiceProcess(Closeable):
    """A service that runs until it is closed."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        # Not a pipe, which nobody reads: once libtiff's warnings fill it, the service stands still.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = ""
        for line in self._process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found.group()
                break
        assert self.url, self.stop()
        self.port = int(self.url.rpartition(":")[2])

    @property
    def resident(self) -> int:
        """Memory of the process in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) * 1024

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End the process; return its exit code and what it wrote to standard error."""
        self._process.send_signal(number)
        self._process.communicate(timeout=60)
        self._errors.seek(0)
        return self._process.returncode, self._errors.read()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes back until the connection ends."""
        with self.connect() as connection:
            with suppress(OSError):  # the service has closed the connection
                connection.sendall(request)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    """Return all that arrives until the connection ends."""
    data = bytearray()
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            data += part
    return bytes(data)


def status_of(answer: bytes) -> int:
    """Return the status code of an answer; 0 if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found.group(1)) if found else 0


def request_bytes(
    target: str, *, method: str = "GET", headers: Sequence[str] = (), body: bytes = b""
) -> bytes:
    """Return a request whose connection ends with its answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(parts: Sequence[tuple[str, bytes]], boundary: str = "b0undary") -> tuple[str, bytes]:
    """Return a header and a body of multipart/form-data; names with a dot are files' names."""
    body = bytearray()
    for name, data in parts:
        field, _, suffix = name.partition(".")
        file = f'; filename="{name}"' if suffix else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'.encode()
        )
        body += data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"Content-Type: multipart/form-data; boundary={boundary}", bytes(body)
