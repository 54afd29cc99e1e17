"""`onnxsearch models get` against a hub that fails, changes and lies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from onnxsearch import InvalidArgumentError, OnnxEmbedder
from onnxsearch.embedders.hub.catalogue import catalogue
from onnxsearch.embedders.hub.lock import ModelLock
from tests.embedders.hub.families import family
from tests.hub_server import Hub, serve

Run = Callable[..., Result]

MODEL = "onnx/model.onnx"
DINO = catalogue()["dinov2-small"]
BASE = catalogue()["dinov2-base"]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def serve_dino(hub: Hub) -> None:
    hub.add(DINO.repository, family(DINO.name), DINO.revision)


def nothing_is_kept(cache: Path) -> bool:
    return [path for path in cache.rglob("*") if path.is_file() and path.name != ".lock"] == []


def fails(result: Result, *texts: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    for text in texts:
        assert text in result.output


def test_get_then_nothing_more(hub: Hub, get: Run, cache: Path) -> None:
    serve_dino(hub)
    document = json.loads(get(DINO.name, "--json").stdout)
    assert document["repository"] == DINO.repository
    assert document["revision"] == DINO.revision
    assert set(document["files"]) == {MODEL, "config.json", "preprocessor_config.json"}
    assert Path(document["folder"], MODEL).read_bytes() == family(DINO.name)[MODEL]
    before = len(hub.requests)
    get(DINO.name)
    assert len(hub.requests) == before


def test_the_user_agent_says_no_more_than_it_has_to(hub: Hub, get: Run) -> None:
    serve_dino(hub)
    get(DINO.name)
    assert {path.split("/")[1] for _, path in hub.requests} == {"api", "onnx-community", "stored"}
    for headers in hub.headers:
        assert "torch" not in headers["user-agent"]
        assert "agent/" not in headers["user-agent"]


def test_a_token_goes_to_the_hub_only(
    hub: Hub, get: Run, models: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    serve_dino(hub)
    with serve(Hub(repositories=hub.repositories)) as storage:
        hub.storage = storage.url.replace("127.0.0.1", "localhost")
        get(DINO.name)
    assert any("authorization" in headers for headers in hub.headers)
    assert storage.downloads()
    assert not any("authorization" in headers for headers in storage.headers)
    hub.gated = True
    result = models("get", BASE.name)
    assert "hf_secret" not in result.output


def test_bytes_that_were_tampered_with(hub: Hub, models: Run, cache: Path) -> None:
    for name in (MODEL, "preprocessor_config.json"):
        serve_dino(hub)
        hub.body = lambda file, content, name=name: (
            content[:-1] + bytes([content[-1] ^ 1]) if file == name else content
        )
        fails(models("get", DINO.name), name, "sha256", "which the hub lists", "Nothing was kept")
        assert nothing_is_kept(cache)


def test_a_body_that_ends_too_early(hub: Hub, models: Run, cache: Path) -> None:
    serve_dino(hub)
    hub.body = lambda name, content: content[: len(content) // 2]
    hub.announced = lambda name, size: 2 * size
    fails(models("get", DINO.name), "cannot be downloaded")
    hub.announced = lambda name, size: size
    fails(models("get", DINO.name), "cannot be downloaded")
    assert nothing_is_kept(cache)


def test_a_line_that_drops_once(hub: Hub, get: Run) -> None:
    serve_dino(hub)
    dropped: list[str] = []

    def half(name: str, content: bytes) -> bytes:
        if name == MODEL and not dropped:
            dropped.append(name)
            return content[: len(content) // 2]
        return content

    hub.body = half
    hub.announced = lambda name, size: len(family(DINO.name)[name])
    get(DINO.name)
    assert dropped
    OnnxEmbedder.hub(DINO.name)


def test_a_body_that_is_longer_than_announced(hub: Hub, models: Run, cache: Path) -> None:
    serve_dino(hub)
    hub.body = lambda name, content: content + b"more"
    fails(models("get", DINO.name), "more than the", "bytes that were announced")
    assert nothing_is_kept(cache)


def test_a_redirect_to_another_machine_is_checked_by_digest(
    hub: Hub, get: Run, models: Run, cache: Path
) -> None:
    serve_dino(hub)
    with serve(Hub(repositories=hub.repositories)) as elsewhere:
        hub.storage = elsewhere.url
        elsewhere.body = lambda name, content: bytes(len(content))
        fails(models("get", DINO.name), "which the hub lists")
        assert nothing_is_kept(cache)
        elsewhere.body = lambda name, content: content
        get(DINO.name)
    assert elsewhere.downloads()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("place", ["/api/", "/resolve/", "/stored/"])
def test_a_busy_hub_is_asked_again(hub: Hub, get: Run, status: int, place: str) -> None:
    serve_dino(hub)
    hub.failures, hub.failing = [status, status], place
    get(DINO.name)
    assert hub.failures == []


def test_a_hub_that_stays_busy(hub: Hub, models: Run, cache: Path) -> None:
    serve_dino(hub)
    hub.failures = [503] * 1_000
    fails(models("get", DINO.name), "answered 503 4 times", "try again later")
    assert nothing_is_kept(cache)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 500])
def test_a_hub_that_refuses(hub: Hub, models: Run, status: int) -> None:
    serve_dino(hub)
    hub.failures = [status] * 1_000
    fails(models("get", DINO.name), hub.url)


def test_no_network(hub: Hub, get: Run, models: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_dino(hub)
    get(DINO.name)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    get(DINO.name)
    fails(models("get", BASE.name), "cannot be downloaded", "http://127.0.0.1:9")


def test_an_endpoint_with_a_password(
    models: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://me:hunter2@127.0.0.1:9")
    result = models("get", DINO.name)
    fails(result, "127.0.0.1:9")
    assert "hunter2" not in result.output
    monkeypatch.setenv("HF_ENDPOINT", "me:hunter2@127.0.0.1")
    result = models("get", DINO.name)
    fails(result, "HF_ENDPOINT", "https://")
    assert "hunter2" not in result.output


def test_a_revision_that_does_not_exist(hub: Hub, models: Run) -> None:
    hub.add(DINO.repository, family(DINO.name), "0" * 40)
    fails(models("get", DINO.name), "no such commit", str(DINO.revision))


def test_a_hub_that_gives_another_commit(hub: Hub, models: Run, cache: Path) -> None:
    serve_dino(hub)
    commits = hub.repositories[DINO.repository].commits
    hub.listed = lambda siblings: siblings
    wanted, other = str(DINO.revision), "1" * 40
    commits[other] = commits[wanted]
    hub.renamed = {wanted: other}
    fails(models("get", DINO.name), f"gave commit {other}", f"not {wanted}")
    assert nothing_is_kept(cache)


def test_main_moves_and_the_lock_stays(hub: Hub, get: Run, models: Run, cache: Path) -> None:
    first = hub.add(BASE.repository, family(BASE.name))
    get(BASE.name)
    assert ModelLock.read(cache / "models.lock.json").names == {BASE.name: first}
    vectors = OnnxEmbedder.hub(BASE.name).fingerprint
    changed = {**family(BASE.name), MODEL: family("vit-base")[MODEL]}
    second = hub.add(BASE.repository, changed)
    get(BASE.name)
    # Also if the files have to be downloaded again.
    next(cache.rglob("model.onnx")).unlink()
    get(BASE.name)
    assert OnnxEmbedder.hub(BASE.name).fingerprint == vectors
    # Whoever wants the newer one says so.
    get(BASE.name, "--revision", second)
    assert ModelLock.read(cache / "models.lock.json").names == {BASE.name: second}
    assert OnnxEmbedder.hub(BASE.name).fingerprint != vectors
    assert OnnxEmbedder.hub(BASE.name, first).fingerprint == vectors


def test_a_commit_whose_bytes_change(hub: Hub, get: Run, models: Run, cache: Path) -> None:
    revision = hub.add(BASE.repository, family(BASE.name))
    get(BASE.name)
    changed = {**family(BASE.name), MODEL: family("vit-base")[MODEL]}
    hub.repositories[BASE.repository].commits[revision] = changed
    path = next(cache.rglob("model.onnx"))
    path.unlink()
    fails(models("get", BASE.name), MODEL, "which the lock file holds")
    assert not path.exists()


def test_a_lock_file_from_elsewhere(
    hub: Hub, get: Run, models: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hub.add(BASE.repository, family(BASE.name))
    get(BASE.name)
    lock = tmp_path / "project.lock.json"
    assert models("lock", lock).exit_code == 0
    assert json.loads(lock.read_text()) == json.loads(models("lock").stdout)
    changed = {**family(BASE.name), MODEL: family("vit-base")[MODEL]}
    hub.add(BASE.repository, changed)
    monkeypatch.setenv("ONNXSEARCH_HUB", str(tmp_path / "other machine"))
    get(BASE.name, "--lock", lock)
    source = OnnxEmbedder.hub(BASE.name).source
    assert source is not None
    assert source.revision == first
    hub.repositories[BASE.repository].commits[first] = changed
    monkeypatch.setenv("ONNXSEARCH_HUB", str(tmp_path / "third machine"))
    fails(models("get", BASE.name, "--lock", lock), "which the lock file holds")
    fails(models("get", BASE.name, "--lock", tmp_path / "missing.json"), "there is no such file")


def test_a_lock_file_of_more_than_is_wanted(
    hub: Hub, get: Run, models: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalogue()["clip-vit-b32"]
    hub.add(entry.repository, family(entry.name), entry.revision)
    get(entry.name)
    lock = tmp_path / "project.lock.json"
    models("lock", lock)
    monkeypatch.setenv("ONNXSEARCH_HUB", str(tmp_path / "other machine"))
    get(entry.name, "--without-text", "--lock", lock)
    assert models("verify").exit_code == 0
    OnnxEmbedder.hub(entry.name)
    get(entry.name, "--lock", lock)
    OnnxEmbedder.hub(entry.name).embed_text("red")


def test_whatever_is_gone_comes_back(hub: Hub, get: Run, models: Run, cache: Path) -> None:
    entry = catalogue()["clip-vit-b32"]
    hub.add(entry.repository, family(entry.name), entry.revision)
    get(entry.name)
    for name in ("text_model.onnx", "config.json"):
        next(cache.rglob(name)).unlink()
    assert models("verify").exit_code == 1
    get(entry.name, "--without-text")
    assert models("verify").exit_code == 0


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "apple-amlr", "llama3", "other", None])
def test_other_licences_have_to_be_accepted(
    hub: Hub, get: Run, models: Run, cache: Path, licence: str | None
) -> None:
    revision = hub.add("someone/model", family(DINO.name), licence=licence)
    arguments = ["someone/model", "--revision", revision, "--file", MODEL]
    fails(models("get", *arguments), "licence", "--accept-licence")
    assert nothing_is_kept(cache)
    assert hub.downloads() == []
    get(*arguments, "--accept-licence")


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.onnx", "/etc/passwd", "onnx/../../outside.onnx", "C:\\outside.onnx",
        "onnx\\model.onnx", "onnx//model.onnx", ".ssh/config", "onnx/con", "nul.onnx",
        "a/" * 9 + "model.onnx", "model.onnx\0", "mod\nel.onnx", "weights.bin", "model.pkl",
        "model.py", "model.safetensors", "model.pt",
    ],
)  # fmt: skip
def test_names_that_are_never_downloaded(hub: Hub, models: Run, cache: Path, name: str) -> None:
    revision = hub.add("someone/model", {**family(DINO.name), name: b"x"})
    result = models("get", "someone/model", "--revision", revision, "--file", name)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert nothing_is_kept(cache)
    assert hub.downloads() == []


def test_a_listing_with_hostile_names(hub: Hub, get: Run, cache: Path, tmp_path: Path) -> None:
    serve_dino(hub)
    hub.listed = lambda siblings: [
        *siblings,
        *(
            {"rfilename": name, "size": 2, "blobId": "0" * 40}
            for name in ("../config.json", "/config.json", "onnx/../../../config.json", "", "..")
        ),
    ]
    get(DINO.name)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}


@pytest.mark.parametrize(
    "listed",
    [
        [{"rfilename": MODEL, "size": -1}],
        [{"rfilename": MODEL, "size": "many"}],
        [{"rfilename": MODEL}],
        [{}],
        "text",
        [{"rfilename": MODEL, "size": 1 << 60, "blobId": "0" * 40}],
        [{"rfilename": MODEL, "size": 5, "blobId": None}],
        [],
        None,
    ],
)
def test_a_listing_that_makes_no_sense(hub: Hub, models: Run, cache: Path, listed: object) -> None:
    serve_dino(hub)
    hub.listed = lambda siblings: listed
    fails(models("get", DINO.name))
    assert nothing_is_kept(cache)


def test_a_configuration_of_megabytes(hub: Hub, models: Run, cache: Path) -> None:
    files = {**family(DINO.name), "preprocessor_config.json": b" " * (2 << 20)}
    hub.add(DINO.repository, files, DINO.revision)
    fails(models("get", DINO.name), "preprocessor_config.json has 2097152 bytes: expected at most")
    assert nothing_is_kept(cache)


def test_weights_in_another_file(hub: Hub, get: Run, models: Run, cache: Path) -> None:
    model, weights = with_external_weights("model.onnx_data")
    files = {**family(DINO.name), MODEL: model, "onnx/model.onnx_data": weights}
    hub.add(DINO.repository, files, DINO.revision)
    get(DINO.name)
    embedder = OnnxEmbedder.hub(DINO.name)
    path = next(cache.rglob("model.onnx"))
    by_hand = OnnxEmbedder(path, name=DINO.name, pooling="cls")
    assert embedder.fingerprint == by_hand.fingerprint
    for name in ("../../../outside", "weights.bin", "/etc/hostname"):
        model, weights = with_external_weights(name)
        revision = hub.add("someone/model", {MODEL: model, f"onnx/{name}": weights})
        arguments = ["someone/model", "--revision", revision, "--file", MODEL]
        fails(models("get", *arguments), "that may be downloaded")


def with_external_weights(location: str) -> tuple[bytes, bytes]:
    """Return the stand-in with its largest weights in a file of their own."""
    import onnx

    model = onnx.load_model_from_string(family(DINO.name)[MODEL])
    (kernel,) = (each for each in model.graph.initializer if each.name == "kernel")
    weights = kernel.raw_data
    kernel.ClearField("raw_data")
    kernel.data_location = onnx.TensorProto.EXTERNAL
    entry = kernel.external_data.add()
    entry.key, entry.value = "location", location
    return model.SerializeToString(), weights


COMMAND = "import sys; from onnxsearch.cli import main; sys.argv[0] = 'onnxsearch'; main()"


def start(*arguments: str, before: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, "models", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.integration
def test_two_processes_at_once_download_once(hub: Hub, cache: Path) -> None:
    serve_dino(hub)
    processes = [start("get", DINO.name) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert len(hub.downloads()) == len(set(hub.downloads()))
    OnnxEmbedder.hub(DINO.name)


@pytest.mark.integration
def test_killed_in_the_middle(
    hub: Hub, get: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # pauses count here
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("ONNXSEARCH_HUB", str(cache))
    serve_dino(hub)
    process = start("get", DINO.name)

    def killed_at_the_end(name: str, content: bytes) -> bytes:
        if name == MODEL and process.poll() is None:
            process.kill()
            process.wait()
        return content

    hub.body = killed_at_the_end
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert not (cache / "models.lock.json").exists()
    get(DINO.name)
    OnnxEmbedder.hub(DINO.name)
    assert not list(cache.rglob("*.incomplete"))
    assert {path.name for path in cache.iterdir() if path.name[0] != "."} == {
        "models.lock.json", DINO.repository.replace("/", "--"),
    }  # fmt: skip


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="limits are those of POSIX")
def test_a_full_disk(hub: Hub, cache: Path) -> None:
    serve_dino(hub)
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); "
    )
    process = start("get", DINO.name, before=limit)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "error: " in output
    assert "Traceback" not in output
    assert nothing_is_kept(cache)


def test_a_cache_that_cannot_be_written(
    hub: Hub, models: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_dino(hub)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ONNXSEARCH_HUB", str(file))
    fails(models("get", DINO.name), "cannot be written")


def test_a_damaged_file_is_downloaded_again(hub: Hub, get: Run, cache: Path) -> None:
    serve_dino(hub)
    get(DINO.name)
    path = next(cache.rglob("model.onnx"))
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    get(DINO.name)
    assert path.read_bytes() == good
    # Of the others, nothing was sent again.
    assert len([each for each in hub.downloads() if "preprocessor_config" in each]) == 1


def test_the_text_tower_can_come_later(hub: Hub, get: Run) -> None:
    entry = catalogue()["clip-vit-b32"]
    hub.add(entry.repository, family(entry.name), entry.revision)
    get(entry.name, "--without-text")
    with pytest.raises(InvalidArgumentError, match="takes no text"):
        OnnxEmbedder.hub(entry.name).embed_text("red")
    get(entry.name)
    OnnxEmbedder.hub(entry.name).embed_text("red")
    with pytest.raises(InvalidArgumentError, match="takes no text"):
        OnnxEmbedder.hub(entry.name, text=False).embed_text("red")
    assert (
        len([each for each in hub.downloads() if "vision_model" in each and "stored" in each]) == 1
    )


@pytest.mark.parametrize("package", ["huggingface_hub", "filelock"])
def test_without_the_extra(
    hub: Hub, get: Run, models: Run, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    serve_dino(hub)
    get(DINO.name)
    monkeypatch.setitem(sys.modules, package, None)
    fails(models("get", BASE.name), 'pip install "onnxsearch[hub]"')
    OnnxEmbedder.hub(DINO.name)
    assert models("verify").exit_code == models("list").exit_code == 0


def test_arguments(models: Run, hub: Hub) -> None:
    fails(models("get", "siglip2-bass"), "Did you mean 'siglip2-base'?")
    fails(models("get", "no/such/name"), "owner/name")
    fails(models("get", "../x"), "owner/name")
    fails(models("get", "someone/model"), "--revision is missing")
    fails(models("get", "someone/model", "--revision", "main"), "40 hex digits")
    fails(models("get", "someone/model", "--revision", "0" * 40), "--file is missing")
    fails(models("get", "someone/model", "--revision", "0" * 40, "--file", MODEL), "no such repo")
