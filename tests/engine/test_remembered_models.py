"""An index remembers its models: it opens without them, wherever their files are now."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onnxsearch import (
    Cell,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    LocalVectorStore,
    MetadataStore,
    Metric,
    MilvusVectorStore,
    ModelNotFoundError,
    OnnxEmbedder,
    OnnxSearchError,
    OnnxTextEmbedder,
    PreprocessingProfile,
    ReadPolicy,
    RedisMetadataStore,
    SearchEngine,
    SpaceMismatchError,
    SQLiteMetadataStore,
    StoreCorruptError,
    TextProfile,
    UnknownModelError,
    VectorStore,
)
from onnxsearch.testing import FakeEmbedder, picture
from tests.embedders.models import colour_model
from tests.embedders.text_models import text_model, tokenizer
from tests.servers import RedisServer

MANIFEST = Cell("onnxsearch:models", "manifest")
COLOURS = ("crimson", "gold", "navy")
OPEN_AND_SEARCH = """
import sys
from onnxsearch import SearchEngine
with SearchEngine.open(sys.argv[1]) as engine:
    print(*engine.models, *(hit.uri for hit in engine.search(sys.argv[2], limit=1)))
"""


class Home:
    """A folder with images, a model and an index, which can move as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "images").mkdir(parents=True)
        for colour in COLOURS:
            Image.new("RGB", (32, 24), colour).save(self.image(colour))
        self.model.write_bytes(colour_model())

    @property
    def model(self) -> Path:
        return self.path / "colours.onnx"

    @property
    def album(self) -> Path:
        return self.path / "album"

    def image(self, colour: str) -> Path:
        return self.path / "images" / f"{colour}.png"

    def fill(self, *embedders: Any, **options: Any) -> None:
        given = list(embedders) or [OnnxEmbedder(self.model, profile="keras-tf")]
        with SearchEngine.open(self.album, embedders=given, **options) as engine:
            assert not engine.index(self.path / "images").failures

    def finds(self, **options: Any) -> list[str]:
        """Open the index without models; return them if it finds an image."""
        with SearchEngine.open(self.album, **options) as engine:
            for model in engine.models:
                (hit,) = engine.search(self.image("gold"), limit=1, model=model)
                assert (hit.uri or "").endswith("gold.png")
            return engine.models


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("ONNXSEARCH_MODELS", raising=False)
    return Home(tmp_path / "home")


@pytest.mark.integration
def test_it_opens_without_arguments_in_another_process(home: Home) -> None:
    home.fill()
    command = [sys.executable, "-c", OPEN_AND_SEARCH, home.album, home.image("navy")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["colours", str(home.image("navy"))]


def test_all_models_open_in_order_with_all_that_makes_their_vectors(home: Home) -> None:
    for output in ("tokens", "two", "named"):
        (home.path / f"{output}.onnx").write_bytes(colour_model(output=output, size=(224, 224)))
    models = [
        OnnxEmbedder(home.path / "two.onnx", profile="keras-caffe", output="b", name="second"),
        OnnxEmbedder(home.path / "tokens.onnx", profile="keras-tf", pooling="max"),
        OnnxEmbedder(home.model, profile="keras-raw", metric=Metric.COSINE, reading=ReadPolicy()),
        OnnxEmbedder.bundled("efficientnet-lite0"),
    ]
    home.fill(*models)
    with SearchEngine.open(home.album) as engine:
        assert engine.models == [model.name for model in models]
        for model in models:
            again = engine._embedders[model.name]
            assert isinstance(again, OnnxEmbedder)
            assert again.fingerprint == model.fingerprint
            assert again.describe() == model.describe()
            assert (again.metric, again.profile.name) == (model.metric, model.profile.name)
        assert engine.count() == 3
        assert engine.verify().ok


def test_an_embedder_that_reads_drafts(home: Home) -> None:
    drafts = OnnxEmbedder(
        home.model, profile="torchvision", reading=ReadPolicy(draft=2), layout="NCHW"
    )
    home.fill(drafts)
    assert home.finds() == ["colours"]
    home.fill(OnnxEmbedder(home.model, profile="torchvision", name="whole"), drafts)
    assert home.finds() == ["whole", "colours"]


def test_a_text_model_comes_along(home: Home) -> None:
    pytest.importorskip("tokenizers", reason="the extra [text] is not installed")
    (home.path / "text.onnx").write_bytes(text_model("bert"))
    profile = TextProfile("mine", 12, clean="lower", pad_token="<pad>")
    text = OnnxTextEmbedder(
        home.path / "text.onnx", tokenizer(home.path), profile=profile, pooling="mean"
    )
    model = OnnxEmbedder(home.model, profile="keras-tf", text=text)
    home.fill(model)
    with SearchEngine.open(home.album, embedders=model) as engine:
        wanted = engine.search(text="a photo of red")
    with SearchEngine.open(home.album) as engine:
        assert engine.search(text="a photo of red") == wanted
        assert engine.info().models[0].text == text.describe()
    home.fill()  # an engine without the text model does not make the index forget it
    with SearchEngine.open(home.album) as engine:
        assert engine.search(text="blue", limit=1)
    (home.path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match="tokenizer of model 'colours'"):
        SearchEngine.open(home.album)


def test_index_and_model_move_together(home: Home, tmp_path: Path) -> None:
    home.fill()
    moved = home.path.rename(tmp_path / "moved")
    home.path = moved
    with SearchEngine.open(moved / "album") as engine:
        assert engine.info().models[0].file.path == str(moved / "colours.onnx")  # type: ignore[union-attr]
    (moved / "album" / "models").mkdir()
    home.fill(
        OnnxEmbedder(
            home.model.rename(moved / "album" / "models" / "x.onnx"),
            name="colours",
            profile="keras-tf",
        )
    )
    shutil.move(moved / "album", tmp_path / "alone")
    SearchEngine.open(tmp_path / "alone").close()


def test_an_index_moves_without_its_model(home: Home, tmp_path: Path) -> None:
    home.fill(
        OnnxEmbedder.bundled("efficientnet-lite0"), OnnxEmbedder(home.model, profile="keras-tf")
    )
    alone = home.album.rename(tmp_path / "alone")
    SearchEngine.open(alone).close()


def test_a_moved_index_that_is_opened_in_part_does_not_forget_the_rest(
    home: Home, tmp_path: Path
) -> None:
    bundled = OnnxEmbedder.bundled("efficientnet-lite0")
    home.fill(OnnxEmbedder(home.model, profile="keras-tf"), bundled)
    home.path = home.path.rename(tmp_path / "moved")
    SearchEngine.open(home.album, embedders=[bundled, FakeEmbedder("new")]).close()
    with SearchEngine.open(home.album, embedders=bundled) as engine:
        engine.drop_model("new")
    assert home.finds() == ["colours", "efficientnet-lite0"]


@pytest.mark.parametrize("how", ["folder", "file", "environment", "parent"])
def test_a_model_with_another_name_is_found_by_its_bytes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    home.fill()
    elsewhere = tmp_path / "elsewhere" / "below"
    elsewhere.mkdir(parents=True)
    (elsewhere / "a.onnx").write_bytes(colour_model(output="two"))
    (elsewhere / "colours.onnx").write_bytes(b"x" * home.model.stat().st_size)
    renamed = shutil.move(home.model, elsewhere / "renamed.onnx")
    with pytest.raises(ModelNotFoundError):
        home.finds()
    if how == "environment":
        monkeypatch.setenv(
            "ONNXSEARCH_MODELS", f"nowhere:{elsewhere}".replace(":", __import__("os").pathsep, 1)
        )
        assert home.finds() == ["colours"]
    else:
        places = {"folder": [elsewhere], "file": renamed, "parent": str(tmp_path)}
        assert home.finds(model_path=places[how]) == ["colours"]
    # It is remembered where it was found.
    monkeypatch.delenv("ONNXSEARCH_MODELS", raising=False)
    assert home.finds() == ["colours"]


def test_a_model_given_as_bytes_is_found_by_its_bytes(home: Home) -> None:
    home.fill(OnnxEmbedder(home.model.read_bytes(), profile="keras-tf", name="bytes"))
    with pytest.raises(ModelNotFoundError, match="model 'bytes' is not found"):
        home.finds()
    assert home.finds(model_path=[home.model]) == ["bytes"]


def test_weights_in_other_files_count(home: Home) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(home.model)
    onnx.save(model, home.model, save_as_external_data=True, location="w.bin", size_threshold=0)
    home.fill()
    assert home.finds() == ["colours"]
    weights = home.path / "w.bin"
    data = weights.read_bytes()
    weights.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(ModelNotFoundError, match="colours"):
        home.finds()


def test_the_error_says_which_model_is_missing_and_how_to_give_it(home: Home) -> None:
    home.fill(
        OnnxEmbedder.bundled("efficientnet-lite0"), OnnxEmbedder(home.model, profile="keras-tf")
    )
    home.model.unlink()
    with pytest.raises(ModelNotFoundError) as caught:
        home.finds()
    for word in ("'colours'", "colours.onnx", "sha256", "model_path", "ONNXSEARCH_MODELS"):
        assert word in str(caught.value)


def test_a_file_with_other_bytes_is_not_opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.fill()
    home.model.write_bytes(colour_model(output="named"))
    opened: list[object] = []
    monkeypatch.setattr(OnnxEmbedder, "__init__", lambda *args, **_: opened.append(args))
    with pytest.raises(ModelNotFoundError, match="is another file now"):
        home.finds()
    assert opened == []


def test_a_new_index_gets_the_bundled_model_and_remembers_it(home: Home) -> None:
    assert home.finds() == ["efficientnet-lite2"] if home.album.exists() else True
    with SearchEngine.open(home.album) as engine:
        assert engine.models == ["efficientnet-lite2"]
        (model,) = engine.info().models
        assert model.source is not None
        assert (model.source.kind, model.source.name) == ("bundled", "efficientnet-lite2")
        assert model.file is not None
        assert model.file.path is None, "it has another path on each machine"


def test_an_index_of_before_that_has_other_models_says_so(home: Home) -> None:
    home.fill()
    with SQLiteMetadataStore(home.album / "records.sqlite") as records:
        records.commit({MANIFEST: None})
    with pytest.raises(ModelNotFoundError, match=r"onnxsearch__colours.*embedders="):
        home.finds()
    home.fill()
    assert home.finds() == ["colours"]


class Mirrored(OnnxEmbedder):
    shift = 0.25

    def pool(self, output: Any) -> Any:
        return super().pool(output) + self.shift


class Strange(OnnxEmbedder):
    def __init__(self, path: Path) -> None:
        super().__init__(path, profile="keras-tf")


def test_a_subclass_that_the_program_has_is_made_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.fill(Mirrored(home.model, profile="keras-tf"))
    assert home.finds() == ["colours"]
    monkeypatch.setattr(Mirrored, "shift", 0.5)
    with pytest.raises(ModelNotFoundError, match="gives other vectors"):
        home.finds()


def test_classes_that_cannot_be_made_again(home: Home) -> None:
    home.fill(Strange(home.model))
    with pytest.raises(ModelNotFoundError, match="does not take the arguments"):
        home.finds()
    with SearchEngine.open(home.path / "fake", embedders=FakeEmbedder("fake")) as engine:
        engine.add(picture("a"), id="a")
    with pytest.raises(ModelNotFoundError, match=r"'onnxsearch\.testing\.fakes\.FakeEmbedder'"):
        SearchEngine.open(home.path / "fake")


def test_models_that_come_and_go_are_followed(home: Home) -> None:
    (home.path / "new.onnx").write_bytes(colour_model(output="named"))
    old, new = (
        OnnxEmbedder(path, profile="keras-tf") for path in (home.model, home.path / "new.onnx")
    )
    home.fill(old)
    with SearchEngine.open(home.album) as engine:
        engine.migrate("colours", new)
    assert home.finds() == ["new"]
    home.fill(new, old)
    assert home.finds() == ["new", "colours"]
    home.fill(old)  # a part of them leaves the order as it is
    assert home.finds() == ["new", "colours"]
    home.fill(old, new)
    assert home.finds() == ["colours", "new"]
    with SearchEngine.open(home.album) as engine:
        engine.drop_model("colours")
        assert [model.name for model in engine.info().models] == ["new"]
    assert home.finds() == ["new"]


def test_a_model_that_does_not_fit_changes_nothing(home: Home) -> None:
    home.fill()
    with pytest.raises(SpaceMismatchError, match="'keras-caffe' instead of 'keras-tf'"):
        home.fill(OnnxEmbedder(home.model, profile="keras-caffe"))
    named = PreprocessingProfile.named("keras-tf", 64)
    with pytest.raises(SpaceMismatchError, match="other values in profile 'keras-tf'"):
        home.fill(OnnxEmbedder(home.model, profile=named))
    other = home.path / "other.onnx"
    other.write_bytes(colour_model(output="named"))
    with pytest.raises(SpaceMismatchError, match="another model file"):
        home.fill(OnnxEmbedder(other, profile="keras-tf", name="colours"))
    assert home.finds() == ["colours"]


def test_a_model_that_is_lost_for_good_can_be_dropped(home: Home) -> None:
    bundled = OnnxEmbedder.bundled("efficientnet-lite0")
    home.fill(bundled, OnnxEmbedder(home.model, profile="keras-tf"))
    home.model.unlink()
    with SearchEngine.open(home.album, embedders=bundled) as engine:
        engine._catalog.vectors.drop("onnxsearch__colours")  # another program dropped it
        engine.drop_model("colours")
        with pytest.raises(UnknownModelError):
            engine.drop_model("colours")
    assert home.finds() == ["efficientnet-lite0"]


@pytest.mark.integration
def test_processes_that_open_at_once_lose_no_model(home: Home) -> None:
    for name in ("a", "b", "c"):
        (home.path / f"{name}.onnx").write_bytes(colour_model())
    SearchEngine.open(home.album, embedders=OnnxEmbedder(home.model, profile="keras-tf")).close()
    program = (
        "import sys; from onnxsearch import *; "
        "SearchEngine.open(sys.argv[1], embedders=OnnxEmbedder(sys.argv[2], profile='keras-tf'))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, home.album, home.path / f"{name}.onnx"])
        for name in ("a", "b", "c")
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    with SearchEngine.open(home.album) as engine:
        assert engine.models[0] == "colours"
        assert set(engine.models) == {"a", "b", "c", "colours"}


def test_engines_that_open_at_once_lose_no_model(home: Home) -> None:
    vectors, records = InMemoryVectorStore(), InMemoryMetadataStore()
    names = [f"model-{number}" for number in range(8)]
    threads = [
        threading.Thread(target=SearchEngine, args=(FakeEmbedder(name), vectors, records))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    info = SearchEngine(FakeEmbedder("model-0"), vectors, records).info()
    assert sorted(model.name for model in info.models) == names


def test_opening_again_writes_nothing(home: Home) -> None:
    records = InMemoryMetadataStore()
    SearchEngine(FakeEmbedder(), vectors := InMemoryVectorStore(), records)
    before = records.get(*MANIFEST)
    commits: list[object] = []
    commit = records._commit
    records._commit = lambda *args: commits.append(args) or commit(*args)  # type: ignore[method-assign, func-returns-value]
    SearchEngine(FakeEmbedder(), vectors, records)
    assert (commits, records.get(*MANIFEST)) == ([], before)


def test_a_new_index_takes_over_the_models_of_a_copy(home: Home, tmp_path: Path) -> None:
    (home.path / "other.onnx").write_bytes(colour_model(output="named"))
    other = OnnxEmbedder(home.path / "other.onnx", profile="keras-raw")
    home.fill(other, OnnxEmbedder(home.model, profile="keras-tf"))
    snapshot = home.path / "album.zip"
    with SearchEngine.open(home.album) as engine:
        assert engine.save_snapshot(snapshot) == 3
        with SearchEngine.open(tmp_path / "copy") as copy:
            engine.copy_to(copy)
            assert copy.models == ["other", "colours"]
            assert copy.search(home.image("gold")) == engine.search(home.image("gold"))
    moved = home.path.rename(tmp_path / "moved")
    with SearchEngine.open(tmp_path / "loaded") as loaded:
        assert loaded.load_snapshot(moved / "album.zip").copied == 3
        assert loaded.verify().ok
        assert not loaded.info().others
    with SearchEngine.open(tmp_path / "loaded") as again:
        assert again.models == ["other", "colours"]
        assert again.load_snapshot(moved / "album.zip").unchanged == 3


@pytest.mark.parametrize("models", [b"", b"{", b"[" * 10_000, b" " * 2**21, b'{"format": 2}'])
def test_a_snapshot_with_hostile_models(home: Home, tmp_path: Path, models: bytes) -> None:
    home.fill()
    with SearchEngine.open(home.album) as engine:
        engine.save_snapshot(tmp_path / "album.zip")
    with (
        zipfile.ZipFile(tmp_path / "album.zip") as good,
        zipfile.ZipFile(tmp_path / "hostile.zip", "w") as bad,
    ):
        for name in good.namelist():
            bad.writestr(name, models if name == "models.json" else good.read(name))
    with SearchEngine.open(tmp_path / "new") as engine:
        with pytest.raises(StoreCorruptError):
            engine.load_snapshot(tmp_path / "hostile.zip")
        assert (engine.models, engine.count()) == (["efficientnet-lite2"], 0)
    with SearchEngine.open(home.album) as engine:  # it has models of its own
        assert engine.load_snapshot(tmp_path / "hostile.zip").unchanged == 3


def test_a_copy_changes_no_models_that_were_chosen(home: Home, tmp_path: Path) -> None:
    home.fill()
    with SearchEngine.open(home.album) as engine:
        chosen = OnnxEmbedder.bundled()
        with (
            SearchEngine.open(tmp_path / "chosen", embedders=chosen) as other,
            pytest.raises(UnknownModelError, match="colours"),
        ):
            engine.copy_to(other)
        with SearchEngine.open(tmp_path / "filled") as other:
            other.add(home.image("gold"))
            with pytest.raises(UnknownModelError, match="colours"):
                engine.copy_to(other)
        home.model.unlink()
        with SearchEngine.open(tmp_path / "missing") as other:
            with pytest.raises(ModelNotFoundError, match="colours"):
                engine.copy_to(other)
            assert (other.models, other.count()) == (["efficientnet-lite2"], 0)


def manifest_of(home: Home) -> dict[str, Any]:
    with SQLiteMetadataStore(home.album / "records.sqlite") as records:
        return json.loads(records.get(*MANIFEST) or b"")  # type: ignore[no-any-return]


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], bytes]:
    def write(manifest: dict[str, Any]) -> bytes:
        change(manifest["models"][0])
        return json.dumps(manifest).encode()

    return write


HOSTILE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "nothing": lambda m: b"",
    "garbage": lambda m: b"\x80\x04garbage",
    "deep": lambda m: b"[" * 100_000,
    "huge": lambda m: json.dumps({**m, "more": "x" * 2**20}).encode(),
    "a list": lambda m: b"[]",
    "another format": lambda m: json.dumps({**m, "format": 0}).encode(),
    "no models": lambda m: json.dumps({**m, "models": {"a": 1}}).encode(),
    "the same twice": lambda m: json.dumps({**m, "models": m["models"] * 2}).encode(),
    "a name": changed(lambda m: m.update(name="../x")),
    "no name": changed(lambda m: m.pop("name")),
    "a metric": changed(lambda m: m.update(metric="furlongs")),
    "a dimension": changed(lambda m: m.update(dimension=1e400)),
    "settings": changed(lambda m: m.update(settings=[1])),
    "no profile": changed(lambda m: m["settings"].pop("profile")),
    "a profile": changed(lambda m: m["settings"]["profile"].update(size=[10**9, 1])),
    "an output": changed(lambda m: m["settings"].update(output=["x"])),
    "a pooling": changed(lambda m: m["settings"].update(pooling="os.system")),
    "a draft": changed(lambda m: m["settings"].update(draft="all")),
    "regions": changed(lambda m: m["settings"].update(regions=[7])),
    "empty regions": changed(lambda m: m["settings"].update(regions="")),
    "no file": changed(lambda m: m.pop("file")),
    "a hash": changed(lambda m: m["file"].update(sha256="0")),
    "another hash": changed(lambda m: m["file"].update(sha256="0" * 64)),
    "a size": changed(lambda m: m["file"].update(size=-1)),
    "weights": changed(lambda m: m["file"].update(weights=["0" * 64] * 5000)),
    "passwords": changed(lambda m: m["file"].update(path="/etc/passwd", name="/etc/passwd")),
    "passwords above": changed(lambda m: m["file"].update(path="../" * 40 + "etc/passwd")),
    "passwords beside": changed(lambda m: m["file"].update(beside="../" * 40 + "etc/passwd")),
    "a number beside": changed(lambda m: m["file"].update(beside=1)),
    "a device": changed(lambda m: m["file"].update(path="/dev/zero")),
    "another machine": changed(lambda m: m["file"].update(path=r"\\evil\share\x.onnx")),
    "a NUL": changed(lambda m: m["file"].update(path="\0.onnx", name="\0.onnx")),
    "a class": changed(lambda m: m.update(class_name="os.system")),
    "a module": changed(lambda m: m.update(class_name="antigravity.Flight")),
    "a source": changed(lambda m: m.update(source={"kind": "web", "name": "http://evil"})),
    "a text model": changed(lambda m: m.update(text={"file": m["file"], "tokenizer": 1})),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_manifest_is_an_error_and_opens_nothing(
    home: Home, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.fill()
    hostile = HOSTILE[case](manifest_of(home))
    with SQLiteMetadataStore(home.album / "records.sqlite") as records:
        records.commit({MANIFEST: hostile})
    before = set(sys.modules)
    opened: list[str] = []
    monkeypatch.setattr(
        "onnxsearch.embedders.onnx.model_files.file_digest",
        lambda path: opened.append(str(path)) or b"",
    )
    with pytest.raises(OnnxSearchError):
        SearchEngine.open(home.album)
    imported = sys.modules.keys() - before
    assert all(name.startswith("onnxsearch.") for name in imported), imported
    assert set(opened) <= {str(home.model)}
    monkeypatch.undo()
    home.fill()  # with its models, it opens and remembers them anew
    assert home.finds() == ["colours"]


def test_a_hostile_manifest_names_a_file_of_another_kind(home: Home) -> None:
    home.fill()
    manifest = manifest_of(home)
    other = home.path / "secrets.txt"
    other.write_bytes(home.model.read_bytes())
    manifest["models"][0]["file"].update(path=str(other), name="secrets.txt")
    with SQLiteMetadataStore(home.album / "records.sqlite") as records:
        records.commit({MANIFEST: json.dumps(manifest).encode()})
    home.model.unlink()
    with pytest.raises(ModelNotFoundError):
        home.finds()
    assert home.finds(model_path=other) == ["colours"], "the user may name it"


def test_arguments(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"model_path .*no such file or folder"):
        SearchEngine.open(home.album, model_path=tmp_path / "nowhere")
    with pytest.raises(InvalidArgumentError, match="model_path"):
        SearchEngine.open(home.album, embedders=FakeEmbedder(), model_path=tmp_path)
    places = {"records": home.path / "r.sqlite", "metadata": home.path / "r.sqlite"}
    with pytest.raises(InvalidArgumentError, match="two names of one argument"):
        SearchEngine.open(home.album, embedders=FakeEmbedder(), **places)
    with pytest.warns(DeprecationWarning, match="records=") as caught:
        SearchEngine.open(
            home.album, embedders=FakeEmbedder(), metadata=home.path / "r.sqlite"
        ).close()
    assert caught[0].filename == __file__
    assert (home.path / "r.sqlite").exists()


def test_info(home: Home) -> None:
    home.fill()
    with SearchEngine.open(home.album) as engine:
        info = engine.info()
        (model,) = info.models
        assert (info.images, info.namespace, model.name) == (3, "onnxsearch", "colours")
        assert (model.vectors, model.dimension, model.profile) == (3, 8, "keras-tf")
        assert info.identity is not None
        assert "colours: 3 vectors of 8 (l2), colours.onnx, profile keras-tf" in str(info)
        assert info.others == {}


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["lite", "server"])
def test_a_location_with_redis_opens_without_models(
    home: Home, request: pytest.FixtureRequest, kind: str
) -> None:
    lite = kind == "lite"
    location = str(home.path / "v.db") if lite else request.getfixturevalue("milvus_url")
    model = OnnxEmbedder(home.model, profile="keras-tf")
    with RedisServer(home.path / "redis").start() as server:
        options: Any = {"records": server.url, "namespace": f"opened_{kind}"}
        with SearchEngine.open(location, embedders=model, **options) as engine:
            engine.index(home.path / "images")
        moved = home.model.rename(home.path / "moved.onnx")
        with pytest.raises(ModelNotFoundError, match=r"'colours\.onnx'"):
            SearchEngine.open(location, **options)
        with SearchEngine.open(location, model_path=moved, **options) as engine:
            assert engine.search(home.image("navy"), limit=1)[0].uri == str(home.image("navy"))
            assert str(server.port) in engine.info().records
            engine._catalog.drop("colours")


Stores = tuple[VectorStore, MetadataStore]


@pytest.fixture(
    params=[
        "memory",
        "local",
        pytest.param("lite", marks=pytest.mark.integration),
        pytest.param("server", marks=pytest.mark.integration),
    ]
)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Stores]]:
    """Return what opens the same two stores again."""
    if request.param == "memory":
        both = InMemoryVectorStore(), InMemoryMetadataStore()
        yield lambda: both
    elif request.param == "local":
        yield lambda: (
            LocalVectorStore(tmp_path / "v.sqlite"),
            SQLiteMetadataStore(tmp_path / "r.sqlite"),
        )
    else:
        lite = request.param == "lite"
        uri = str(tmp_path / "v.db") if lite else request.getfixturevalue("milvus_url")
        with RedisServer(tmp_path / "redis").start() as server:
            yield lambda: (MilvusVectorStore(uri), RedisMetadataStore(server.url))


def test_every_pair_of_stores_remembers(
    home: Home, stores: Callable[[], Stores], request: pytest.FixtureRequest
) -> None:
    namespace = f"remembered_{request.node.callspec.id}"
    two = OnnxEmbedder(home.model, profile="keras-tf", name="two", metric=Metric.COSINE)
    one = OnnxEmbedder(home.model, profile="keras-tf", name="one")

    def engine(*embedders: OnnxEmbedder) -> SearchEngine:
        return SearchEngine(list(embedders), *stores(), namespace=namespace)

    try:
        engine(one, two).index(home.path / "images")
        assert engine(two).info().models[0] == engine(one, two).info().models[0]
        names = [(model.name, model.vectors, model.metric) for model in engine(one).info().models]
        assert names == [("one", 3, Metric.L2), ("two", 3, Metric.COSINE)]
        engine(one, two).drop_model("two")
        assert [model.name for model in engine(one).info().models] == ["one"]
    finally:
        engine(one, two)._catalog.drop("one")
        engine(one, two)._catalog.drop("two")
