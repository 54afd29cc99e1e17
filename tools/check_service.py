"""Send requests made from the OpenAPI document of the service: `nox -s service`.

Schemathesis makes valid and invalid requests from the document and compares the answers with it:
statuses, media types, schemas, methods, and that nothing fails. Arguments are passed to it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from onnxsearch import SearchEngine
from onnxsearch.serving import create_app
from onnxsearch.serving.server import ServiceServer

ALBUM = Path(__file__).parents[1] / "examples" / "album"
CONFIGURATION = Path(__file__).with_suffix(".toml")


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name, SearchEngine.open(Path(name) / "index") as engine:
        engine.index(ALBUM, root=ALBUM, metadata=lambda path: {"kind": path.parent.name})
        server = ServiceServer(create_app(engine), "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        try:
            command = ["schemathesis", "--config-file", str(CONFIGURATION), "run", *arguments]
            return subprocess.run(
                [*command, f"{server.url}openapi.json"], cwd=name, check=False
            ).returncode
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
