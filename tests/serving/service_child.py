"""Serves an index in a process of its own: `python service_child.py LOCATION SECONDS`.

Waits only SECONDS for slow clients. Prints the address when it is ready.
"""

from __future__ import annotations

import sys

from onnxsearch import ReadPolicy, SearchEngine
from onnxsearch.serving import ServiceLimits, create_app, server


def main(location: str, seconds: float) -> None:
    server.HEAD_SECONDS = server.WRITE_SECONDS = seconds
    limits = ServiceLimits(
        upload_bytes=16 * 2**20,
        pixels=30_000_000,
        upload_seconds=3 * seconds,
        stall_seconds=seconds,
        cache_bytes=2**20,
    )
    with SearchEngine.open(location, reading=ReadPolicy(max_pixels=limits.pixels)) as engine:
        service = server.ServiceServer(create_app(engine, limits=limits), "127.0.0.1", 0)
        sys.stdout.write(f"{service.url}\n")
        sys.stdout.flush()
        service.serve_until_stopped()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
