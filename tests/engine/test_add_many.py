"""Images from any iterable: each has an outcome, and what is acknowledged stays."""

from __future__ import annotations

import io
import itertools
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxsearch import (
    ImageInput,
    ImageNotFoundError,
    ImageTooLargeError,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Item,
    LocalVectorStore,
    Metadata,
    Outcome,
    Progress,
    Record,
    SearchEngine,
    SQLiteMetadataStore,
    Status,
)
from onnxsearch.indexing import bulk_addition
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.stores import assert_consistent


class House:
    """An engine on stores of its own."""

    def __init__(self, *models: FakeEmbedder, **settings: int) -> None:
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.fake = FakeEmbedder()
        self.engine = SearchEngine(models or [self.fake], self.vectors, self.metadata, **settings)

    def add(self, *items: Any) -> list[str]:
        """Add items; return their statuses."""
        report = self.engine.add_many(iter(items))
        assert_consistent(self.vectors, self.metadata)
        return [outcome.status.value for outcome in report.outcomes]

    def shown_by(self, id: str) -> str | None:
        """What the image shows, of the pictures that tests use, by its vector."""
        for name in ("ant", "bee", "cat", "dog"):
            hits = self.engine.search(picture(name), limit=100)
            if id in [hit.id for hit in hits if hit.distance < 1e-3]:
                return name
        return None

    def record(self, id: str) -> Record:
        record = self.engine.get(id)
        assert record is not None
        return record

    @property
    def embedded(self) -> int:
        return sum(self.fake.calls.batches)


@pytest.fixture
def house() -> House:
    return House()


def test_takes_images_of_every_form(house: House, tmp_path: Path) -> None:
    path = tmp_path / "path.png"
    path.write_bytes(picture_bytes("path"))
    forms: dict[str, Any] = {
        "bytes": picture_bytes("bytes"),
        "bytearray": bytearray(picture_bytes("bytearray")),
        "open file": io.BytesIO(picture_bytes("open file")),
        "pillow": picture("pillow"),
        "array": np.asarray(picture("array")),
        "path": path,
        "function of bytes": lambda: picture_bytes("function of bytes"),
        "function of an array": lambda: np.asarray(picture("function of an array")),
    }
    items = [Item(image, id=name) for name, image in forms.items()]
    assert house.add(*items) == ["indexed"] * len(forms)
    for name in forms:
        hit = house.engine.search(picture(name), limit=1)[0]
        assert (hit.id, hit.distance) == (name, pytest.approx(0, abs=1e-3))
    assert house.record("path").file == str(path)
    assert house.record("bytes").uri is None
    assert house.record("bytes").size == len(forms["bytes"])


def test_images_need_not_be_items(house: House, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(picture_bytes("cat"))
    report = house.engine.add_many([path, str(path), picture_bytes("dog"), picture("ant")])
    assert [o.uri for o in report.outcomes] == [str(path), str(path), "item 2", "item 3"]
    assert [o.status.value for o in report.outcomes] == [
        "indexed",
        "unchanged",
        "indexed",
        "indexed",
    ]
    assert report.outcomes[0].id == str(path)
    assert {house.shown_by(str(o.id)) for o in report.outcomes} == {"cat", "dog", "ant"}


def test_outcomes_pass_through_in_their_place(house: House) -> None:
    skipped = Outcome("b.txt", Status.SKIPPED, error="'b.txt' is not an image")
    report = house.engine.add_many([Item(picture("a"), id="a"), skipped])
    assert report.outcomes[1] is skipped
    assert report.counts["skipped"] == 1


def test_every_bad_item_is_an_outcome(house: House) -> None:
    def fail(error: BaseException) -> Any:
        def open_image() -> Any:
            raise error

        return open_image

    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no items")

    good = picture_bytes("cat")
    items: dict[Any, str] = {
        Item(good, id=3): "broken",  # type: ignore[arg-type]
        Item(good, id=""): "broken",
        Item(good, id="x" * 100_000): "broken",
        Item(good, uri=4): "broken",  # type: ignore[arg-type]
        Item(lambda: good, id="nan"): "indexed",
        Item(fail(ImageTooLargeError("large"))): "too_large",
        Item(fail(ImageNotFoundError("nothing"))): "missing",
        Item(fail(FileNotFoundError("nothing"))): "missing",
        Item(fail(TimeoutError("slow"))): "broken",
        Item(fail(KeyError("no such column"))): "broken",
        Item(lambda: None): "unsupported",  # type: ignore[arg-type, return-value]
        Item(b"not an image"): "unsupported",
        Item(b""): "broken",
        Item(good[:100]): "broken",
        Item(io.StringIO("text")): "unsupported",  # type: ignore[arg-type]
        Item(None): "unsupported",  # type: ignore[arg-type]
        ("cat", good): "unsupported",
        3: "unsupported",
        "": "broken",
        "no such file.png": "missing",
        "https://me:secret@host/a.png": "unsupported",
        Outcome(3, Status.SKIPPED): "unsupported",  # type: ignore[arg-type]
        Outcome("a.png", "skipped"): "unsupported",  # type: ignore[arg-type]
        "a\0b.png": "broken",
    }
    unhashable: list[tuple[Any, str]] = [
        ({"image": good}, "unsupported"),
        (Item(np.zeros((2, 2), np.uint8)), "unsupported"),
        (Item(good, id="x", metadata={"a": float("nan")}), "broken"),
        (Item(good, id="x", metadata={3: "a"}), "broken"),  # type: ignore[dict-item]
        (Item(good, id="x", metadata=[1]), "broken"),  # type: ignore[arg-type]
        (Item(good, id="x", metadata=Hostile(a=1)), "broken"),
        (Item(good, id="x", metadata={"a": "b" * 2**20}), "broken"),
    ]
    cases = [*items.items(), *unhashable]
    report = house.engine.add_many(item for item, _ in cases)
    for (item, expected), outcome in zip(cases, report.outcomes, strict=True):
        assert outcome.status.value == expected, (item, outcome)
        assert (outcome.error is None) == (expected == "indexed")
        assert outcome.uri
    assert report.outcomes[8].error == "'item 8' cannot be opened: TimeoutError: slow"
    assert not [o for o in report.outcomes if "secret" in str(o.error)]
    assert house.engine.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        3,
        "photo.png",
        Path("photo.png"),
        b"bytes",
        io.BytesIO(b"bytes"),
        {"id": b"bytes"},
        Image.new("RGB", (2, 2)),
        np.zeros((8, 8, 3), np.uint8),
        Item(b"bytes"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_what_is_no_iterable_of_images(house: House, wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"items of type .+: expected"):
        house.engine.add_many(wrong)
    with pytest.raises(InvalidArgumentError, match="progress"):
        house.engine.add_many([], progress="yes")  # type: ignore[arg-type]


def test_an_array_of_images_is_an_iterable_of_images(house: House) -> None:
    images = np.stack([np.asarray(picture("ant")), np.asarray(picture("bee"))])
    assert house.add(*images) == ["indexed", "indexed"]


def test_what_did_not_change_is_not_embedded_again(house: House) -> None:
    item = Item(picture_bytes("cat"), id="a", metadata={"n": 1}, uri="https://host/a.png")
    assert house.add(item) == ["indexed"]
    before = house.record("a")
    assert house.add(item) == ["unchanged"]
    assert house.add(Item(picture_bytes("cat"), id="a")) == ["unchanged"]
    assert house.record("a") == before
    assert house.embedded == 1
    assert house.add(Item(picture_bytes("cat"), id="a", metadata={"n": 2})) == ["indexed"]
    assert house.record("a").metadata == {"n": 2}
    assert house.record("a").uri == "https://host/a.png"
    assert house.add(Item(picture_bytes("cat"), id="a", uri="https://host/b.png")) == ["indexed"]
    assert house.record("a").uri == "https://host/b.png"
    assert house.embedded == 1
    assert house.add(Item(picture_bytes("dog"), id="a")) == ["indexed"]
    assert house.record("a").metadata == {"n": 2}, "metadata that are not given stay"
    assert house.shown_by("a") == "dog"


def test_an_item_is_stored_under_its_id_its_address_or_a_random_id(house: House) -> None:
    report = house.engine.add_many(
        [
            Item(picture_bytes("ant"), id="own", uri="https://host/ant.png"),
            Item(picture_bytes("bee"), uri="/abs/photos.zip!/bee.png"),
            Item(picture_bytes("cat")),
        ]
    )
    ids = [str(outcome.id) for outcome in report.outcomes]
    assert ids[:2] == ["own", "/abs/photos.zip!/bee.png"]
    assert [o.uri for o in report.outcomes] == [
        "https://host/ant.png",
        "/abs/photos.zip!/bee.png",
        "item 2",
    ]
    assert [house.record(id).uri for id in ids] == ["https://host/ant.png", ids[1], None]
    assert [house.record(id).file for id in ids] == [None, None, None]


def test_a_twin_is_a_duplicate_unless_it_has_an_id(house: House) -> None:
    cat = picture_bytes("cat")
    items = [
        Item(cat, id="first"),
        Item(cat),
        Item(cat, uri="https://host/cat.png"),
        Item(cat, id="second", metadata={"n": 2}),
    ]
    expected = ["indexed", "duplicate", "duplicate", "indexed"]
    assert house.add(*items) == expected
    assert house.engine.count() == 2
    assert house.shown_by("second") == "cat"
    embedded = house.embedded
    assert house.add(*items) == ["unchanged", "duplicate", "duplicate", "unchanged"]
    assert house.add(Item(cat, id="third")) == ["indexed"]
    assert house.embedded == embedded, "the vector is that of the twin"
    assert house.shown_by("third") == "cat"


def test_an_image_that_another_one_replaced_is_no_twin(house: House) -> None:
    """However near it is: the worker may have seen it."""
    ant, bee = picture_bytes("ant"), picture_bytes("bee")
    assert house.add(Item(ant, id="a"), Item(bee, id="a"), Item(ant)) == ["indexed"] * 3
    assert house.add(Item(ant, id="a"), Item(bee)) == ["indexed"] * 2
    assert house.engine.count() == 3


@pytest.mark.parametrize("apart", [0, 3, 100])
def test_the_last_of_several_items_with_one_id_counts(house: House, apart: int) -> None:
    between = [Item(picture_bytes(f"between {n}"), id=f"between {n}") for n in range(apart)]
    for shown in itertools.permutations(["ant", "bee", "ant"]):
        first, second, last = (Item(picture_bytes(name), id="x") for name in shown)
        house.engine.remove("x")
        statuses = house.add(first, *between, second, *between, last)
        changed = [True, shown[1] != shown[0], shown[2] != shown[1]]
        assert [statuses[0], statuses[apart + 1], statuses[-1]] == [
            "indexed" if each else "unchanged" for each in changed
        ]
        assert house.shown_by("x") == shown[2]


def test_files_are_treated_as_index_treats_them(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("ant", "bee", "cat")]
    for path in paths:
        path.write_bytes(picture_bytes(path.stem))
    items = [Item(path, metadata={"name": path.stem}) for path in paths]
    assert house.add(*items) == ["indexed"] * 3
    assert set(house.engine.index(tmp_path).counts.items()) >= {("unchanged", 3), ("indexed", 0)}
    with monkeypatch.context() as patch:
        patch.setattr("onnxsearch.indexing.entries.read_image_file", None)
        assert house.add(*items) == ["unchanged"] * 3
    paths[0].write_bytes(picture_bytes("dog"))
    paths[1].rename(tmp_path / "moved.png")
    assert house.add(paths[0], tmp_path / "moved.png") == ["indexed", "moved"]
    assert house.record(str(paths[0])).metadata == {"name": "ant"}
    assert house.record(str(tmp_path / "moved.png")).metadata == {"name": "bee"}
    assert house.add(Item(paths[2], id="own"), Item(paths[2], id="own")) == ["indexed", "unchanged"]
    assert house.record("own").file == str(paths[2])
    assert house.add(tmp_path) == ["unsupported"]


def test_files_of_the_open_index_are_never_opened(tmp_path: Path) -> None:
    with (
        LocalVectorStore(tmp_path / "vectors.sqlite") as vectors,
        SQLiteMetadataStore(tmp_path / "records.sqlite") as metadata,
    ):
        engine = SearchEngine(FakeEmbedder(), vectors, metadata)
        path = tmp_path / "records.sqlite"
        report = engine.add_many([path, Item(path, id="a"), Item(lambda: path, id="b")])
        assert [o.status for o in report.outcomes] == [Status.UNSUPPORTED] * 3
        assert all("open in this process" in str(o.error) for o in report.outcomes)


def test_an_image_from_elsewhere_is_never_moved_or_gone(house: House, tmp_path: Path) -> None:
    archive = f"{tmp_path}/photos.zip!/cat.png"
    assert house.add(Item(picture_bytes("cat"), uri=archive)) == ["indexed"]
    (tmp_path / "cat.png").write_bytes(picture_bytes("cat"))
    (tmp_path / "dog.png").write_bytes(picture_bytes("dog"))
    report = house.engine.index(tmp_path, prune=True)
    assert sorted(o.status.value for o in report.outcomes) == ["duplicate", "indexed"]
    assert sorted(o.status.value for o in house.engine.index(tmp_path, prune=True).outcomes) == [
        "duplicate",
        "unchanged",
    ]
    assert house.record(archive).uri == archive
    two = FakeEmbedder("two", 8)
    both = SearchEngine([house.fake, two], house.vectors, house.metadata)
    outcomes = {outcome.uri: outcome for outcome in both.backfill("two").outcomes}
    assert outcomes[archive].status is Status.MISSING
    assert "did not come from a file" in str(outcomes[archive].error)


def test_a_file_that_a_function_returns_is_closed(house: House) -> None:
    opened: list[io.BytesIO] = []

    def open_cat() -> io.BytesIO:
        opened.append(io.BytesIO(picture_bytes("cat")))
        return opened[-1]

    own = io.BytesIO(picture_bytes("dog"))
    assert house.add(Item(open_cat, id="cat"), Item(own, id="dog")) == ["indexed"] * 2
    assert (opened[0].closed, own.closed) == (True, False)


def test_an_endless_iterable_is_read_a_little_ahead(house: House) -> None:
    taken = itertools.count()
    held: set[int] = set()
    most = 0

    class Frame:
        """An image that notes how many of its kind exist."""

        def __init__(self, number: int) -> None:
            self.number = number
            held.add(number)

        def __call__(self) -> bytes:
            return picture_bytes(str(self.number))

        def __del__(self) -> None:
            held.discard(self.number)

    class CameraError(Exception):
        pass

    def camera() -> Iterator[Item]:
        nonlocal most
        for number in taken:
            if number == 1000:
                raise CameraError
            most = max(most, len(held))
            yield Item(Frame(number), id=str(number))

    engine = SearchEngine(house.fake, house.vectors, house.metadata, workers=2, batch_size=4)
    with pytest.raises(CameraError):
        engine.add_many(camera())
    assert engine.count() == 1000, "what came before the error is stored"
    assert most <= 64


def test_images_that_wait_have_a_limit_of_bytes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    most = 0

    def camera() -> Iterator[Item]:
        nonlocal most
        for number in range(100):
            frame = np.asarray(picture(str(number))).copy()
            weakref.finalize(frame, released.append, number)
            most = max(most, number - len(released))
            yield Item(frame, id=str(number))
            del frame

    engine = SearchEngine(house.fake, house.vectors, house.metadata, workers=4, batch_size=16)
    monkeypatch.setattr(bulk_addition, "MOST_BYTES", 10 * np.asarray(picture("0")).nbytes)
    assert engine.add_many(camera()).counts["indexed"] == 100
    assert most <= 12


def test_progress_has_a_total_as_soon_as_it_is_known(house: House) -> None:
    def totals(items: Any) -> list[int | None]:
        seen: list[Progress] = []
        house.engine.add_many(items, progress=seen.append)
        assert [progress.done for progress in seen] == list(range(1, len(seen) + 1))
        return [progress.total for progress in seen]

    assert totals([picture("ant"), picture("bee")]) == [2, 2]
    assert totals(iter([picture("ant"), picture("bee")]))[-1] == 2


def test_outcomes_come_when_the_images_are_stored(house: House, tmp_path: Path) -> None:
    write_pictures(tmp_path, [str(n) for n in range(70)])
    items = (Item(picture_bytes(f"item {n}"), id=str(n)) for n in range(150))
    for source, number in ((items, 150), (tmp_path, 70), (tmp_path / "3.png", 1)):
        outcomes = []
        for outcome in house.engine.index_iter(source):
            assert house.engine.get(str(outcome.id)) is not None
            outcomes.append(outcome)
        assert len(outcomes) == number
    assert house.engine.count() == 220


def test_outcomes_of_a_folder_are_those_of_index(tmp_path: Path) -> None:
    """Also where files were swapped, moved, copied and changed since."""
    outcomes: list[set[Outcome]] = []
    for streamed in (False, True):
        house, folder = House(), tmp_path / "pictures"
        folder.mkdir()
        write_pictures(folder, ["ant", "bee", "cat", "dog"])
        house.engine.index(folder)
        (folder / "ant.png").rename(folder / "between")
        (folder / "bee.png").rename(folder / "ant.png")
        (folder / "between").rename(folder / "bee.png")
        (folder / "cat.png").rename(folder / "moved.png")
        shutil.copy(folder / "dog.png", folder / "copy.png")
        (folder / "dog.png").write_bytes(picture_bytes("fox"))
        (folder / "broken.png").write_bytes(b"")
        engine = house.engine
        found = engine.index_iter(folder) if streamed else engine.index(folder).outcomes
        outcomes.append(set(found))
        assert_consistent(house.vectors, house.metadata)
        shutil.rmtree(folder)
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0]) == 6


def test_an_iteration_that_is_left_keeps_what_it_yielded(house: House) -> None:
    outcomes = house.engine.index_iter(Item(picture_bytes(str(n)), id=str(n)) for n in range(500))
    first = next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert house.engine.get(str(first.id)) is not None
    assert 64 <= house.engine.count() < 500
    assert_consistent(house.vectors, house.metadata)


def test_arguments_of_an_iteration_are_checked_at_once(house: House, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        house.engine.index_iter(tmp_path / "nothing")
    with pytest.raises(InvalidArgumentError, match="source of type int: expected"):
        house.engine.index_iter(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="metadata"):
        house.engine.index_iter([], metadata=3)  # type: ignore[arg-type]


def test_metadata_for_all_items_and_of_their_images(house: House, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(picture_bytes("cat"))
    items = [
        Item(path, id="path", metadata={"own": 1}),
        Item(picture_bytes("ant"), id="bytes", metadata={"own": 2}),
        Item(lambda: picture_bytes("bee"), id="function"),
        Item(np.asarray(picture("dog")), id="array"),
    ]

    def describe(image: ImageInput) -> Metadata:
        return {"kind": type(image).__name__, "own": 0}

    def described() -> dict[str, object]:
        return {str(item.id): dict(house.record(str(item.id)).metadata) for item in items}

    house.engine.add_many(items, metadata=describe)
    expected = {
        "path": {"kind": type(path).__name__, "own": 1},
        "bytes": {"kind": "bytes", "own": 2},
        "function": {"kind": "bytes", "own": 0},
        "array": {"kind": "ndarray", "own": 0},
    }
    assert described() == expected
    embedded = house.embedded
    report = house.engine.add_many(items[:3], metadata=describe)
    assert report.counts["unchanged"] == 3
    report = house.engine.add_many(items[:3], metadata={"of all": True})
    assert report.counts["indexed"] == 3
    assert described()["bytes"] == {"of all": True, "own": 2}
    assert described()["function"] == {"of all": True}
    assert house.embedded == embedded

    def fail(image: ImageInput) -> Metadata:
        raise LookupError("no such row")

    report = house.engine.add_many([*items, b"", Item(b"no image", id="x")], metadata=fail)
    assert [o.status.value for o in report.failures] == ["broken"] * 5 + ["unsupported"]
    assert "LookupError: no such row" in str(report.failures[1].error)
    with pytest.raises(InvalidArgumentError, match="metadata"):
        house.engine.add_many([], metadata={3: 4})  # type: ignore[dict-item]


def test_two_calls_at_once_store_each_image_whole(house: House) -> None:
    """Both write the same ids, with images and metadata that belong together."""
    names = ("ant", "bee")
    barrier = threading.Barrier(2)

    def write(name: str) -> None:
        barrier.wait()
        items = [Item(picture_bytes(name), id=str(n), metadata={"n": name}) for n in range(100)]
        assert set(house.engine.add_many(items).counts) >= {"indexed"}

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert house.engine.count() == 100
    for name in names:
        hits = house.engine.search(picture(name), limit=100)
        assert {hit.metadata["n"] for hit in hits if hit.distance < 1e-3} <= {name}
    assert_consistent(house.vectors, house.metadata)


def test_metadata_that_others_give_meanwhile_stay(house: House) -> None:
    """An item without metadata keeps what its id holds when it is stored, not before."""
    house.engine.add(picture_bytes("ant"), id="x", metadata={"v": 1})

    def meanwhile() -> bytes:
        house.engine.add(picture_bytes("bee"), id="x", metadata={"v": 2})
        return picture_bytes("cat")

    assert house.add(Item(meanwhile, id="x")) == ["indexed"]
    assert house.record("x").metadata == {"v": 2}
    assert house.shown_by("x") == "cat"


def test_a_model_that_came_later_gets_its_vectors(house: House) -> None:
    item = Item(picture_bytes("cat"), id="cat")
    house.add(item)
    two = FakeEmbedder("two", 8)
    both = SearchEngine([house.fake, two], house.vectors, house.metadata)
    assert [o.status for o in both.add_many([item]).outcomes] == [Status.INDEXED]
    assert (house.embedded, sum(two.calls.batches)) == (1, 1)
    assert both.search(picture("cat"), model="two").ids == ["cat"]
