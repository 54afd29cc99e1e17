"""A service of its own thread, for browsers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from onnxsearch import SearchEngine
from onnxsearch.serving import ServiceLimits, create_app
from onnxsearch.serving.server import ServiceServer


class RunningService:
    """A service that was started on a port of its own."""

    def __init__(self, engine: SearchEngine, token: str | None, limits: ServiceLimits) -> None:
        app = create_app(engine, token=token, limits=limits)
        self._server = ServiceServer(app, "127.0.0.1", 0)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._server.serve_until_stopped)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self) -> None:
        """End the service; a second call does nothing."""
        self._server.should_exit = True
        self._thread.join()


@contextmanager
def running(
    engine: SearchEngine, *, token: str | None = None, limits: ServiceLimits | None = None
) -> Iterator[RunningService]:
    """Serve an engine while the block runs."""
    service = RunningService(engine, token, limits or ServiceLimits())
    try:
        yield service
    finally:
        service.stop()
