"""Several Redis servers that work together: a cluster, and a primary with a replica."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.sentinel import Sentinel

from tests.servers import NO_RETRY, RedisServer, free_port, redis_binary

SLOTS = 16384


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the servers did not find each other"
        time.sleep(0.05)


@contextmanager
def redis_cluster(folder: Path, nodes: int) -> Iterator[redis.RedisCluster]:
    """A cluster of so many nodes, each with its share of the slots."""
    with ExitStack() as stack:
        servers, clients, buses = [], [], []
        for number in range(nodes):
            buses.append(free_port())
            options = ["--cluster-enabled", "yes", "--cluster-port", str(buses[-1])]
            server = RedisServer(folder / str(number)).start(*options)
            servers.append(stack.enter_context(server))
            clients.append(stack.enter_context(redis.Redis(port=server.port, retry=NO_RETRY)))
        bounds = [SLOTS * number // nodes for number in range(nodes + 1)]
        for number, client in enumerate(clients):
            slots = bounds[number], bounds[number + 1] - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
            if number:
                met = "127.0.0.1", servers[0].port, buses[0]
                client.execute_command("CLUSTER", "MEET", *met)
        for client in clients:
            wait_for(lambda client=client: _is_whole(client, nodes))  # type: ignore[misc]
        yield stack.enter_context(redis.RedisCluster(host="127.0.0.1", port=servers[0].port))


def _is_whole(client: redis.Redis, nodes: int) -> bool:
    info = client.cluster("INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes


@dataclass
class Replicated:
    """A primary and a replica, watched by a Sentinel that lets the one take the other's place."""

    primary: RedisServer
    replica: RedisServer
    sentinel: Sentinel

    def client(self) -> redis.Redis:
        return self.sentinel.master_for(
            "album", socket_timeout=4, socket_connect_timeout=4, retry=NO_RETRY
        )

    def failover(self) -> None:
        """Kill the primary, and wait until the replica has taken its place."""
        self.primary.kill9()
        wait_for(lambda: self._primary() == self.replica.port)

    def _primary(self) -> int | None:
        try:
            return int(self.sentinel.discover_master("album")[1])
        except redis.RedisError:
            return None


@contextmanager
def replicated(folder: Path) -> Iterator[Replicated]:
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(folder / "primary").start())
        follows = ["--replicaof", "127.0.0.1", str(primary.port)]
        replica = stack.enter_context(RedisServer(folder / "replica").start(*follows))
        with redis.Redis(port=replica.port, retry=NO_RETRY) as client:
            wait_for(lambda: client.info("replication")["master_link_status"] == "up")
        port = free_port()
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor album 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds album 500\n"
            "sentinel failover-timeout album 3000\n"
        )
        with (folder / "sentinel.log").open("wb") as log:
            process = subprocess.Popen([redis_binary(), settings, "--sentinel"], stdout=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        sentinel = Sentinel([("127.0.0.1", port)], socket_timeout=1)
        wait_for(lambda: _knows_both(sentinel))
        yield Replicated(primary, replica, sentinel)


def _knows_both(sentinel: Sentinel) -> bool:
    try:
        return bool(sentinel.discover_slaves("album"))
    except redis.RedisError:
        return False
