"""Load on the HTTP service: python -m benchmarks.service_load --seconds 600 --rate 50.

Requests are sent at a fixed rate, whether earlier ones were answered or not, and their time counts
from the moment at which they were due. So a service that falls behind shows it. The mix is that of
people at the page: searches by id, thumbnails, records, and a few uploads, which cost the most.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from onnxsearch import SearchEngine

EXAMPLES = Path(__file__).parents[1] / "examples"
MIX = {"search by id": 45, "thumbnail": 40, "records": 10, "upload": 5}
"""Share of each kind of request in per cent."""
CLIENTS = 32


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "index") as (process, port):
        load = Load(port)
        load.run(5, options.rate)  # models and caches are warm
        before, load = resident(process), Load(port)
        load.run(options.seconds, options.rate)
        load.report()
        growth = (resident(process) - before) / 2**20
        print(f"memory {before / 2**20:.0f} MiB, {growth:+.1f} MiB in {options.seconds:g} s")


@contextmanager
def serving(location: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Index the album, and serve it in a process of its own."""
    with SearchEngine.open(location) as engine:
        engine.index(EXAMPLES / "album", root=EXAMPLES / "album")
    command = "from onnxsearch.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "serve", str(location), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None
        try:
            yield process, int(found.group(1))
        finally:
            process.terminate()


def resident(process: subprocess.Popen[str]) -> int:
    """Return the bytes of memory of a process; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


class Load:
    """Requests at a fixed rate, and how long each took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()
        self._lock = threading.Lock()
        self._chance = random.Random(50)
        self._ids = [
            record["id"] for record in json.loads(self._get("/api/records?limit=200"))["records"]
        ]
        self._uploads = [upload(path) for path in sorted((EXAMPLES / "queries").iterdir())]
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failures: Counter[str] = Counter()

    def run(self, seconds: float, rate: float) -> None:
        """Send requests for some seconds, and wait for the last answers."""
        started = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for number in range(int(seconds * rate)):
                due = started + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                kind = self._chance.choices(list(MIX), list(MIX.values()))[0]
                pool.submit(self._send, kind, self._chance.random(), due)

    def report(self) -> None:
        """Print the times of each kind of request."""
        print(f"{'':14}{'requests':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
        for kind, found in {**self.seconds, "all": [*chain(*self.seconds.values())]}.items():
            ordered = sorted(1000 * each for each in found)
            shown = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95, 0.99, 1)]
            print(f"{kind:14}{len(found):9,}" + "".join(f"{each:9.1f}" for each in shown))
        print(f"failures: {dict(self.failures) or 'none'}")

    def _send(self, kind: str, chance: float, due: float) -> None:
        id = quote(self._ids[int(chance * len(self._ids))], safe="")
        try:
            match kind:
                case "search by id":
                    self._get(f"/api/search?id={id}&top_k=20")
                case "thumbnail":
                    self._get(f"/api/thumbnails/{id}?size=256")
                case "records":
                    self._get("/api/records?limit=20")
                case "upload":
                    body, header = self._uploads[int(chance * len(self._uploads))]
                    self._get("/api/search", "POST", body, {"Content-Type": header})
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.failures[f"{kind}: {type(error).__name__} {error}"] += 1
        with self._lock:
            self.seconds[kind].append(time.perf_counter() - due)

    def _get(
        self,
        target: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            self._local.connection = connection
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
        except ConnectionError:
            # The service closes connections that are idle for some seconds, perhaps at this
            # moment. Browsers, too, ask again on a new connection, once.
            connection.close()
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
        data: bytes = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}: {data[:200]!r}")
        return data


def upload(path: Path) -> tuple[bytes, str]:
    """Return the body and the type of an upload of one image."""
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="query.jpg"\r\n\r\n'
    return head + path.read_bytes() + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


if __name__ == "__main__":
    main(sys.argv[1:])
