"""`doctor` finds what is wrong with set-ups that are broken on purpose, and changes nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from onnxsearch import OnnxEmbedder, SearchEngine
from onnxsearch._internal import cpu
from onnxsearch.cli.doctor import (
    command as doctor_command,
    databases,
    filesystem,
    machine,
)
from onnxsearch.cli.doctor.plugins import plugins
from onnxsearch.metadata.redis import health
from onnxsearch.testing import FakeEmbedder, picture
from tests.cli.test_commands import Run, run  # noqa: F401
from tests.embedders.models import colour_model
from tests.servers import NO_RETRY, RedisServer, free_port

Results = dict[str, dict[str, Any]]
Doctor = Callable[..., Results]


@pytest.fixture
def doctor(doctor_of_all: Doctor, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run the command without a look at the installation; return results by check."""
    for check in ("versions", "extras", "runtimes", "plugins"):
        monkeypatch.setattr(doctor_command, check, lambda: iter(()))
    return doctor_of_all


@pytest.fixture
def doctor_of_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> Doctor:  # noqa: F811
    """Run the command without the processes that try providers; return results by check."""
    monkeypatch.setattr(machine, "providers", lambda patience: iter(()))

    def examine(*arguments: object, **env: str) -> Results:
        ran = run("doctor", *arguments, "--json", **env)
        document = json.loads(ran.stdout)
        bad = any(each["status"] == "error" for each in document["results"])
        assert ran.exit_code == int(bad), ran.output
        assert document["ok"] is not bad
        assert document["counts"]["ok"] + document["counts"]["warning"] + document["counts"][
            "error"
        ] == len(document["results"])
        for each in document["results"]:
            assert (each["status"] == "ok") == (each["remedy"] is None), each
        return {each["check"]: each for each in document["results"]}

    return examine


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an index of an embedder without a file, and one of a model from a file."""
    folder = tmp_path_factory.mktemp("indexes")
    model = folder / "x.onnx"
    model.write_bytes(colour_model())
    embedders = {"fake": FakeEmbedder(), "onnx": OnnxEmbedder(model, profile="keras-tf")}
    for name, embedder in embedders.items():
        with SearchEngine.open(folder / name, embedders=embedder) as engine:
            engine.add(picture("a"), id="a")
    return folder


@pytest.fixture
def index(indexes: Path, tmp_path: Path) -> Path:
    return shutil.copytree(indexes / "fake", tmp_path / "album")


def found(results: Results, check: str, status: str) -> str:
    assert results[check]["status"] == status, results[check]
    return str(results[check]["found"])


# --- the installation


def install(site: Path, name: str, version: str, *files: str) -> None:
    """Write what an installer leaves of a distribution."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{file},," for file in (*files, f"{folder.name}/METADATA", f"{folder.name}/RECORD")]
    (folder / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_a_good_installation(doctor_of_all: Doctor) -> None:
    results = doctor_of_all()
    assert {each["status"] for each in results.values()} == {"ok"}
    assert "Python 3." in found(results, "version.python", "ok")
    assert "cli" in found(results, "extras", "ok")
    assert "no index at" in found(results, "index", "ok")


def test_two_distributions_of_onnx_runtime(doctor_of_all: Doctor, site: Path) -> None:
    install(site, "onnxruntime-gpu", "1.31.1", "onnxruntime/__init__.py")
    results = doctor_of_all()
    told = found(results, "onnxruntime.distributions", "error")
    assert "onnxruntime-gpu 1.31.1" in told
    assert "uninstall -y onnxruntime onnxruntime-gpu" in str(
        results["onnxruntime.distributions"]["remedy"]
    )


def test_extensions_of_onnx_runtime_may_stand_beside_it(doctor_of_all: Doctor, site: Path) -> None:
    install(site, "onnxruntime-extensions", "0.14", "onnxruntime_extensions/__init__.py")
    found(doctor_of_all(), "onnxruntime.distributions", "ok")


def test_a_package_that_is_too_old(doctor_of_all: Doctor, site: Path) -> None:
    install(site, "redis", "4.6.0")
    install(site, "pymilvus", "4.0.1")
    results = doctor_of_all()
    assert "redis 4.6.0: >=5.2 is needed" in found(results, "version.redis", "error")
    assert "4.0.1" in found(results, "version.pymilvus", "error")
    assert "pip install" in str(results["version.redis"]["remedy"])


def test_two_packages_that_bring_a_store_of_one_name(site: Path) -> None:
    for name in ("acme-shelf", "other-shelf"):
        install(site, name, "1.0")
        entry = site / f"{name.replace('-', '_')}-1.0.dist-info" / "entry_points.txt"
        entry.write_text("[onnxsearch.vectors]\nshelf = shelf:open\n")
    results = list(plugins())
    assert [each.status.value for each in results] == ["error", "ok"]
    told = results[0].found
    assert "acme-shelf 1.0 and other-shelf 1.0" in told


# --- the machine


def test_less_than_a_core(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "cgroup" / "pod" / "container"
    group.mkdir(parents=True)
    (group.parent / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "membership").write_text("0::/pod/container\n")
    monkeypatch.setattr(cpu, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(cpu, "_MEMBERSHIP", tmp_path / "membership")
    assert f"{group.parent} grants 0.5" in found(doctor(), "cores", "warning")


def test_a_clock_that_is_years_behind(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = SimpleNamespace(time=lambda: 1e9, gmtime=time.gmtime, strftime=time.strftime)
    monkeypatch.setattr(machine, "time", behind)
    assert "2001-09-09" in found(doctor(), "clock", "error")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ("raise RuntimeError('CUDA driver version is insufficient')", "version is insufficient"),
        ("__import__('os').abort()", "signal 6"),
        ("__import__('time').sleep(60)", "does not answer"),
    ],
)
def test_a_provider_that_does_not_start(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    expected: str,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import onnxruntime\n"
        "real = onnxruntime.InferenceSession\n"
        "def session(model, options, providers, **others):\n"
        f"    if 'CUDA' in providers[0][0]: {trouble}\n"
        "    return real(model, options, providers=providers, **others)\n"
        "onnxruntime.InferenceSession = session\n"
        "names = ['CPUExecutionProvider', 'CUDAExecutionProvider']\n"
        "onnxruntime.get_available_providers = lambda: names\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = run("doctor", "--json", "--timeout", 20, PYTHONPATH=path)
    results = {each["check"]: each for each in json.loads(ran.stdout)["results"]}
    assert expected in found(results, "provider.CUDAExecutionProvider", "error")
    found(results, "provider.CPUExecutionProvider", "ok")
    assert ran.exit_code == 1


@pytest.mark.integration
def test_an_onnx_runtime_that_cannot_be_imported(run: Run, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libstdc++.so.6: no such file')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = run("doctor", "--json", PYTHONPATH=path)
    results = {each["check"]: each for each in json.loads(ran.stdout)["results"]}
    assert "libstdc++" in found(results, "providers", "error")


# --- files of an index


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_good_index_is_left_as_it_is(doctor: Doctor, index: Path) -> None:
    before = contents(index)
    results = doctor(index)
    assert {each["status"] for each in results.values()} == {"ok"}
    assert "is sound" in found(results, "files.vectors", "ok")
    assert "has no file" in found(results, "model.fake", "ok")
    assert contents(index) == before


WRITER = """
import sys
from onnxsearch import SearchEngine
from onnxsearch.testing import FakeEmbedder, picture
with SearchEngine.open(sys.argv[1], embedders=FakeEmbedder()) as engine:
    for id in sys.stdin:
        engine.add(picture(id), id=id.strip())
        print(engine.count(), flush=True)
"""


@pytest.mark.integration
def test_an_index_in_use_is_examined_and_nobody_waits(doctor: Doctor, index: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(index)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        print("b", file=writer.stdin, flush=True)
        assert writer.stdout.readline() == "2\n"
        before = contents(index)
        results = doctor(index)
        found(results, "files.vectors", "ok")
        found(results, "files.records", "ok")
        assert contents(index) == before
        print("c", file=writer.stdin, flush=True)
        assert writer.stdout.readline() == "3\n"
        writer.kill()
    # What it has written is in logs that nobody has closed.
    before = contents(index)
    found(doctor(index), "files.records", "ok")
    assert contents(index) == before


def test_there_is_no_index(doctor: Doctor, tmp_path: Path) -> None:
    results = doctor(tmp_path / "nothing")
    assert "vectors.sqlite" in found(results, "index", "error")
    assert not (tmp_path / "nothing").exists()


def test_records_are_missing(doctor: Doctor, index: Path) -> None:
    (index / "records.sqlite").unlink()
    assert "records.sqlite" in found(doctor(index), "index", "error")


def test_a_damaged_file(doctor: Doctor, index: Path) -> None:
    file = index / "vectors.sqlite"
    data = bytearray(file.read_bytes())
    data[20_000:60_000] = bytes(40_000)
    file.write_bytes(data)
    assert "malformed" in found(doctor(index), "files.vectors", "error")


def test_a_file_that_is_no_database(doctor: Doctor, index: Path) -> None:
    (index / "records.sqlite").write_bytes(b"<html>" * 10_000)
    results = doctor(index)
    assert "not a database" in found(results, "files.records", "error")
    assert "not a database" in found(results, "models", "error")


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("application_id = 7", "another application"), ("user_version = 99", "format 99")],
)
def test_a_database_of_others(doctor: Doctor, index: Path, pragma: str, expected: str) -> None:
    with closing(sqlite3.connect(index / "records.sqlite")) as connection:
        connection.execute(f"PRAGMA {pragma}")
    assert expected in found(doctor(index), "files.records", "error")


def test_a_killed_process_left_its_log(doctor: Doctor, index: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with SearchEngine.open(index, embedders=FakeEmbedder()) as engine:
        engine.add(picture("b"), id="b")
        # As a backup that was taken in the middle.
        shutil.copytree(index, copy, ignore=shutil.ignore_patterns("*-shm"))
    before = contents(copy)
    results = doctor(copy)
    assert "was not closed" in found(results, "files.vectors", "warning")
    assert contents(copy) == before
    with SearchEngine.open(copy, embedders=FakeEmbedder()) as engine:
        assert engine.count() == 2
    found(doctor(copy), "files.vectors", "ok")


def test_a_log_that_has_grown(doctor: Doctor, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_LARGE_LOG", 1000)
    with SearchEngine.open(index, embedders=FakeEmbedder()) as engine:
        engine.add(picture("b"), id="b")
        assert "-wal" in found(doctor(index), "files.vectors", "warning")


def test_a_large_file_is_checked_for_a_while(
    doctor: Doctor, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_INTERVAL", 1)
    monkeypatch.setattr(
        databases, "time", SimpleNamespace(monotonic=iter(map(float, range(0, 10**9, 60))).__next__)
    )
    assert "no fault found within" in found(doctor(index), "files.vectors", "ok")


def test_a_folder_without_the_right_to_write(
    doctor: Doctor, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert "searched only" in found(doctor(index), "files.rights", "warning")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be read" in found(doctor(index), "files.rights", "error")


def test_a_file_that_everybody_may_write(doctor: Doctor, index: Path) -> None:
    (index / "records.sqlite").chmod(0o666)
    results = doctor(index)
    assert "every user" in found(results, "files.rights", "warning")
    assert "chmod o-w" in str(results["files.rights"]["remedy"])


@pytest.mark.parametrize(
    ("blocks", "files", "status"), [(10, 99, "error"), (10**6, 0, "error"), (20_000, 99, "warning")]
)
def test_a_full_disk(
    doctor: Doctor,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    files: int,
    status: str,
) -> None:
    space = SimpleNamespace(f_bavail=blocks, f_frsize=4096, f_files=100, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda path: space)
    monkeypatch.setattr(filesystem, "_size", lambda path: 100 << 20)
    found(doctor(index), "files.disk", status)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_file_system_over_a_network(
    doctor: Doctor, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    place = str(index).replace(" ", "\\040")
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"55 21 0:50 / {place} rw shared:7 - {kind} server:/albums rw\n"
    )
    monkeypatch.setattr(filesystem, "_MOUNTS", mounts)
    assert kind in found(doctor(index), "files.network", "warning")


# --- Milvus Lite


needs_lite = pytest.mark.skipif(find_spec("milvus_lite") is None, reason="no Milvus Lite here")


@pytest.fixture
def place(index: Path) -> Path:
    """Return what looks like a Milvus Lite file with its records."""
    place = index / "album.db"
    place.mkdir()
    (place / "LOCK").touch()
    (index / "records.sqlite").rename(index / "album.records.sqlite")
    return place


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with file.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@needs_lite
def test_milvus_lite_that_nobody_has_open(doctor: Doctor, place: Path) -> None:
    before = contents(place)
    found(doctor(place), "lite", "ok")
    assert contents(place) == before
    with locked(place / "LOCK"):
        pass  # the check keeps no lock


@needs_lite
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this system does not list locks")
def test_milvus_lite_that_a_process_has_open(doctor: Doctor, place: Path) -> None:
    with locked(place / "LOCK"):
        told = found(doctor(place), "lite", "error")
    assert f"process {os.getpid()} (" in told


@needs_lite
def test_a_file_of_milvus_lite_2(doctor: Doctor, place: Path) -> None:
    shutil.rmtree(place)
    place.write_bytes(b"SQLite format 3\0")
    assert "Milvus Lite 2" in found(doctor(place), "lite", "error")


def test_milvus_lite_is_not_installed(
    doctor: Doctor, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.cli.doctor.lite.find_spec", lambda name: None)
    results = doctor(place)
    found(results, "lite", "error")
    assert "onnxsearch[lite]" in str(results["lite"]["remedy"])


# --- models


@pytest.fixture
def with_model(indexes: Path, tmp_path: Path) -> Path:
    shutil.copytree(indexes, tmp_path / "moved")
    return tmp_path / "moved" / "onnx"


@pytest.fixture
def model(with_model: Path, indexes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # The index remembers where the file was made; that place is empty now.
    hidden = (indexes / "x.onnx").rename(indexes / "hidden")
    yield with_model.parent / "x.onnx"
    hidden.rename(indexes / "x.onnx")


def test_a_model_is_there(doctor: Doctor, with_model: Path, model: Path) -> None:
    results = doctor(with_model, "--model", model)
    assert str(model) in found(results, "model.x", "ok")
    assert "is model 'x'" in found(results, "model.given", "ok")


def test_a_model_file_is_missing(
    doctor: Doctor, with_model: Path, model: Path, tmp_path: Path
) -> None:
    elsewhere = model.rename(tmp_path / "elsewhere.onnx")
    results = doctor(with_model)
    assert "is not found" in found(results, "model.x", "error")
    assert "--model-path" in str(results["model.x"]["remedy"])
    found(doctor(with_model, "--model-path", elsewhere), "model.x", "ok")


def test_a_model_file_has_changed(doctor: Doctor, with_model: Path, model: Path) -> None:
    model.write_bytes(colour_model(output="named"))
    assert "another file now" in found(doctor(with_model), "model.x", "error")


def test_a_given_model_is_not_of_the_index(
    doctor: Doctor, with_model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(colour_model(output="named"))
    assert "none of the models" in found(doctor(with_model, "-m", other), "model.given", "warning")
    found(doctor(with_model, "-m", tmp_path / "none.onnx"), "model.given", "error")


@pytest.mark.parametrize("value", [b"{", b'{"format": 99, "models": []}'])
def test_what_the_index_says_of_its_models_cannot_be_read(
    doctor: Doctor, with_model: Path, value: bytes
) -> None:
    with closing(sqlite3.connect(with_model / "records.sqlite")) as connection:
        connection.execute("UPDATE cell SET value = ? WHERE tab = 'onnxsearch:models'", [value])
        connection.commit()
    found(doctor(with_model), "models", "error")


# --- servers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")).start("--requirepass", "hunter2") as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    return server.url.replace("://", "://:hunter2@")


@pytest.mark.integration
def test_a_good_redis_server(doctor: Doctor, url: str, tmp_path: Path) -> None:
    with SearchEngine.open(tmp_path / "album", embedders=FakeEmbedder(), records=url) as engine:
        engine.add(picture("a"), id="a")
    results = doctor(tmp_path / "album", "--records", url)
    assert {each["status"] for each in results.values()} == {"ok"}, results
    assert "answers in" in found(results, "redis", "ok")
    assert "on disk" in found(results, "redis.durability", "ok")
    assert "has no file" in found(results, "model.fake", "ok")
    assert "hunter2" not in json.dumps(results)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("settings", "check", "status", "expected"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "redis.memory", "warning", "would delete"),
        (
            {"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"},
            "redis.memory",
            "error",
            "deletes records",
        ),
        ({"maxmemory": "1mb"}, "redis.memory", "warning", "of its maxmemory"),
        ({"appendonly": "no"}, "redis.durability", "warning", "appendonly is no"),
        ({"appendfsync": "everysec"}, "redis.durability", "warning", "about the last second"),
    ],
)
def test_a_redis_server_that_loses_records(
    doctor: Doctor,
    index: Path,
    server: RedisServer,
    url: str,
    settings: dict[str, str],
    check: str,
    status: str,
    expected: str,
) -> None:
    with redis.Redis.from_url(url, retry=NO_RETRY) as client:
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value)
        try:
            results = doctor(index, "--records", url)
        finally:
            for name, value in before.items():
                client.config_set(name, value)
    assert expected in found(results, check, status)


@pytest.mark.integration
def test_a_redis_server_that_refuses(doctor: Doctor, index: Path, server: RedisServer) -> None:
    wrong = server.url.replace("://", "://:swordfish@")
    results = doctor(index, "--records", wrong)
    assert "user name and password" in found(results, "redis", "error")
    assert "swordfish" not in json.dumps(results)


@pytest.mark.integration
def test_a_replica(doctor: Doctor, index: Path, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "replica").start("--replicaof", "127.0.0.1 1") as replica:
        assert "is a replica" in found(doctor(index, "--records", replica.url), "redis", "error")


@pytest.mark.integration
def test_two_clocks(doctor: Doctor, index: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(time=lambda: time.time() - 60, perf_counter=time.perf_counter)
    monkeypatch.setattr(health, "time", slow)
    results = doctor(index, "--records", url)
    assert "differ by 60 s" in found(results, "redis.clock", "warning")


@pytest.mark.integration
def test_nothing_says_where_the_records_are(doctor: Doctor) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    results = doctor(address)
    assert "--records" in str(results["index"]["remedy"])
    assert "cannot be reached" in found(results, "milvus", "error")


def test_a_port_that_nobody_listens_on(doctor: Doctor, index: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    results = doctor(index, "--records", url)
    assert "refused" in found(results, "redis", "error")
    assert "hunter2" not in json.dumps(results)


@pytest.mark.integration
@needs_lite
def test_real_milvus_lite_in_another_process(doctor: Doctor, tmp_path: Path) -> None:
    place = tmp_path / "album.db"
    command = [sys.executable, "-c", WRITER, str(place)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        print("a", file=holder.stdin, flush=True)
        assert holder.stdout.readline() == "1\n"
        told = found(doctor(place), "lite", "error")
        holder.stdin.close()
    assert f"process {holder.pid} (python" in told
    assert WRITER not in told
    found(doctor(place), "lite", "ok")


@pytest.mark.parametrize("listens", ["redis", "milvus"])
@pytest.mark.integration
def test_a_server_that_hangs(doctor: Doctor, index: Path, listens: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        if listens == "redis":
            arguments: list[object] = [index, "--records", f"redis://{place}/0"]
        else:
            arguments = [f"http://{place}", "--records", index / "records.sqlite"]
        started = time.monotonic()
        found(doctor(*arguments, "--timeout", 2), listens, "error")
    assert time.monotonic() - started < 30


def test_a_check_that_hangs_is_left_behind(
    doctor: Doctor, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: time.sleep(60))
    assert "no answer within 1 s" in found(doctor(index, "--timeout", 1), "files.disk", "error")


def test_a_check_that_fails_does_not_end_the_others(
    doctor: Doctor, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: 1 / 0)
    results = doctor(index)
    assert "ZeroDivisionError" in found(results, "files.disk", "error")
    found(results, "files.network", "ok")


# --- the output


def test_the_report_as_text(run: Run, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(machine, "providers", lambda patience: iter(()))
    (index / "records.sqlite").chmod(0o666)
    ran = run("doctor", index)
    assert ran.exit_code == 0, ran.output
    assert "warning  files.rights: every user" in ran.stdout
    assert "remedy: chmod o-w" in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("errors: 0, warnings: 1, ")


def test_wrong_usage(run: Run) -> None:  # noqa: F811
    assert run("doctor", "--timeout", 0).exit_code == 2
    for endless in ("nan", "inf"):
        assert "--timeout" in run("doctor", "--timeout", endless).stderr
    refused = run("doctor", "redis:/user:hunter2@host")
    assert refused.exit_code == 1
    assert "hunter2" not in refused.output
