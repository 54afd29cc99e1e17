"""A hub on a loopback address: the endpoints that downloads use, and their failures."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 4_000
"""Files from this size on are stored apart and redirected to, as on the real hub."""


@dataclass
class Repository:
    """A repository: its commits, each with files, and where its main branch is."""

    commits: dict[str, dict[str, bytes]]
    main: str
    licence: str | None = "apache-2.0"


@dataclass
class Hub:
    """What the server serves, how it fails, and what was asked of it."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    storage: str = ""
    """Address that large files are redirected to; that of the server itself if empty."""
    body: Callable[[str, bytes], bytes] = lambda name, content: content
    """What is sent instead of a file's bytes, by its name."""
    announced: Callable[[str, int], int] = lambda name, size: size
    """The length that is announced for a body of this length."""
    failures: list[int] = field(default_factory=list)
    """Status codes of the next answers."""
    failing: str = "/"
    """The part of a path that an answer has to hold to fail."""
    gated: bool = False
    """Whether its owner has to give access."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """The headers of every request, by their names in lower case."""
    renamed: dict[str, str] = field(default_factory=dict)
    """The commit that is reported instead of another."""
    listed: Callable[[list[dict[str, object]]], object] = lambda siblings: siblings
    """What is listed instead of the files of a repository."""

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        revision: str | None = None,
        licence: str | None = "apache-2.0",
    ) -> str:
        """Add a commit to a repository, the head of its main branch, and return it."""
        if revision is None:
            digest = hashlib.sha1()
            for file, content in sorted(files.items()):
                digest.update(f"{file} {len(content)} ".encode() + content)
            revision = digest.hexdigest()
        repository = self.repositories.setdefault(name, Repository({}, revision, licence))
        repository.commits[revision] = dict(files)
        repository.main = revision
        return revision

    def downloads(self) -> list[str]:
        """Return the paths whose bodies were sent."""
        return [path for method, path in self.requests if method == "GET" and "/api/" not in path]


@contextmanager
def serve(hub: Hub | None = None) -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback address."""
    served = Hub() if hub is None else hub

    class Handler(_Handler):
        hub = served

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        self.hub.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.hub.failures and self.hub.failing in path:
            self._send(self.hub.failures.pop(0), b"busy", {"Retry-After": "0"}, body=body)
            return
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._list("/".join(parts[2:4]), parts[5] if len(parts) > 5 else None)
        elif parts[0] == "stored":
            content = self._files("/".join(parts[1:3]), parts[3])["/".join(parts[4:])]
            # As on the real hub, which redirects to itself where a repository was renamed.
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"X-Repo-Commit": parts[3], "ETag": etag}
            self._file("/".join(parts[4:]), content, headers, body=body)
        else:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body=body)

    def _files(self, repository: str, revision: str | None) -> Mapping[str, bytes]:
        held = self.hub.repositories[repository]
        at = held.main if revision in (None, "main") else revision
        return held.commits[str(at)]

    def _list(self, name: str, revision: str | None) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._error(404, "RepoNotFound")
            return
        if self.hub.gated:
            self._error(403, "GatedRepo")
            return
        commit = repository.main if revision in (None, "main") else revision
        if commit not in repository.commits:
            self._error(404, "RevisionNotFound")
            return
        siblings = [_sibling(*each) for each in repository.commits[commit].items()]
        card = {} if repository.licence is None else {"license": repository.licence}
        document = {
            "id": name,
            "sha": self.hub.renamed.get(commit, commit),
            "siblings": self.hub.listed(siblings),
            "cardData": card,
            "tags": [],
        }
        content = json.dumps(document).encode()
        self._send(200, content, {"Content-Type": "application/json"}, body=True)

    def _resolve(self, name: str, revision: str, file: str, *, body: bool) -> None:
        content = self._files(name, revision).get(file)
        if content is None:
            self._error(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": revision}
        if len(content) < LARGE:
            headers["ETag"] = f'"{_blob(content)}"'
            self._file(file, content, headers, body=body)
            return
        headers |= {
            "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.hub.storage or self.hub.url}/stored/{name}/{revision}/{file}",
        }
        self._send(302, b"", headers, body=body)

    def _file(self, name: str, content: bytes, headers: Mapping[str, str], *, body: bool) -> None:
        sent = self.hub.body(name, content) if body else content
        length = self.hub.announced(name, len(sent)) if body else len(sent)
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self.wfile.write(sent)
        if length != len(sent):
            self.close_connection = True

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], *, body: bool) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _error(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": code}
        self._send(status, b"", headers, body=True)


def _sibling(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "rfilename": name,
        "size": len(content),
        "blobId": _blob(content),
    }
    if len(content) >= LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return entry


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
