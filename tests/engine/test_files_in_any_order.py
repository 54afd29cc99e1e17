"""Files that change in any way between runs, and runs that die anywhere: nothing is lost."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from onnxsearch import (
    IndexReport,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Record,
    SearchEngine,
)
from onnxsearch.catalog.root import is_below
from onnxsearch.testing import Faults, ProcessDied, picture, picture_bytes
from onnxsearch.testing.faults import Moment
from tests.engine.stores import faulty_engine

NAMES = ("x/a.png", "x/b.png", "x/c.png", "y/a.png")
PICTURES = ("ant", "bee", "cat", "dog", "elk", "fly")
BYTES = {picture_bytes(name): name for name in (*PICTURES, "fox")}
NAME = st.sampled_from(NAMES)
CHANGE = st.one_of(
    st.tuples(st.just("create"), NAME, st.sampled_from(PICTURES)),
    st.tuples(st.just("copy"), NAME, NAME),
    st.tuples(st.just("copy with its time"), NAME, NAME),
    st.tuples(st.just("touch"), NAME, st.none()),
    st.tuples(st.just("move"), NAME, NAME),
    st.tuples(st.just("move"), NAME, NAME),
    st.tuples(st.just("swap"), NAME, NAME),
    st.tuples(st.just("delete"), NAME, st.none()),
    st.tuples(st.just("rename folder"), st.none(), st.none()),
)
AT = st.sampled_from([None, None, None, *range(12)])
MOMENT = st.sampled_from(["before", "after"])


def files_in(folder: Path) -> dict[str, str]:
    """What each file below a folder shows, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): BYTES[path.read_bytes()] for path in files}


class FilesInAnyOrder(RuleBasedStateMachine):
    """Real files in two folders, of which one is a drive that can be unmounted.

    `add` gives files tokens as metadata. A token may only vanish when another `add` takes
    its place, or when a prune removes it and no file without a token shows the same.
    """

    clock = itertools.count(1)
    counter = itertools.count(1)

    @initialize(
        both=st.booleans(),
        showing=st.lists(st.sampled_from(PICTURES), min_size=len(NAMES), max_size=len(NAMES)),
        added=st.sets(NAME),
    )
    def begin(self, both: bool, showing: list[str], added: set[str]) -> None:
        self.base = Path(tempfile.mkdtemp())
        self.root, self.away = self.base / "pictures", self.base / "away"
        for folder in ("x", "y", "z"):
            (self.root / folder).mkdir(parents=True)
        self.show("z/always there.png", "fox")
        self.vectors, self.metadata = InMemoryVectorStore(), InMemoryMetadataStore()
        self.faults = Faults()
        self.mounted = True
        self.tokens: set[int] = set()
        """Those that must be stored."""
        self.homes: dict[str, int] = {}
        """The token of each file that has had it since `add`, wherever it was moved."""
        self.open_again(both)
        for name, shown in zip(NAMES, showing, strict=True):
            self.show(name, shown)
        for name in sorted(added):
            self.add(name, at=None, moment="before")
        self.index(at=None, moment="before")

    # What happens to files.

    def path(self, name: str) -> str:
        return str(self.root / name)

    def touch(self, path: str) -> None:
        """Give a file a time that no other file has; clocks of file systems are coarse."""
        time = next(self.clock) * 10**9
        os.utime(path, ns=(time, time))

    def show(self, name: str, shown: str) -> None:
        Path(self.path(name)).write_bytes(picture_bytes(shown))
        self.touch(self.path(name))

    def usable(self, *names: str) -> bool:
        return self.mounted or not any(name.startswith("y") for name in names)

    def create(self, name: str, shown: str) -> None:
        if self.usable(name):
            self.show(name, shown)
            self.homes.pop(self.path(name), None)

    def copy(self, one: str, other: str, keep_time: bool) -> None:
        source, goal = self.path(one), self.path(other)
        if self.usable(one, other) and one != other and os.path.exists(source):
            shutil.copy2(source, goal)
            self.homes.pop(goal, None)
            if not keep_time:
                self.touch(goal)

    def touch_again(self, name: str) -> None:
        if os.path.exists(self.path(name)):
            self.touch(self.path(name))

    def move(self, one: str, other: str) -> None:
        if self.usable(one, other) and one != other and os.path.exists(self.path(one)):
            self.rename(self.path(one), self.path(other))

    def swap(self, one: str, other: str) -> None:
        paths = self.path(one), self.path(other)
        if one != other and all(map(os.path.exists, paths)):
            between = str(self.base / "between")
            self.rename(paths[0], between)
            self.rename(paths[1], paths[0])
            self.rename(between, paths[1])

    def rename_folder(self) -> None:
        here, there = self.root / "x", self.root / "renamed"
        if there.exists():
            here, there = there, here
        there.mkdir(exist_ok=True)
        for file in list(here.iterdir()):
            self.rename(str(file), str(there / file.name))
        here.rmdir()
        (self.root / "x").mkdir(exist_ok=True)

    def rename(self, source: str, goal: str) -> None:
        os.replace(source, goal)
        token = self.homes.pop(source, None)
        self.homes.pop(goal, None)
        if token is not None:
            self.homes[goal] = token

    def delete(self, name: str) -> None:
        Path(self.path(name)).unlink(missing_ok=True)
        if self.usable(name):
            self.homes.pop(self.path(name), None)

    @rule()
    def unmount_or_mount(self) -> None:
        drive = self.root / "y"
        if self.mounted:
            drive.rename(self.away)
            drive.mkdir()
        else:
            drive.rmdir()
            self.away.rename(drive)
        self.mounted = not self.mounted

    @rule(changes=st.lists(CHANGE, min_size=1, max_size=4))
    def change(self, changes: list[tuple[str, str, str]]) -> None:
        for what, one, other in changes:
            match what:
                case "create":
                    self.create(one, other)
                case "copy" | "copy with its time":
                    self.copy(one, other, keep_time=what != "copy")
                case "touch":
                    self.touch_again(one)
                case "move":
                    self.move(one, other)
                case "swap":
                    self.swap(one, other)
                case "delete":
                    self.delete(one)
                case _:
                    self.rename_folder()

    # What is done about them.

    def run(self, **options: bool) -> IndexReport:
        return self.engine.index(self.root, **options)  # type: ignore[arg-type]

    def ids_of(self, path: str) -> tuple[str, ...]:
        """The ids that the image of a file may have; after a run, the first one."""
        return (path,)

    def arm(self, at: int | None, moment: Moment) -> None:
        self.faults.revive()
        if at is not None:
            self.faults.fail(at=at, moment=moment, error=ProcessDied())

    @rule(both=st.booleans())
    def open_again(self, both: bool) -> None:
        self.faults.revive()
        models = ("one", "two") if both else ("one",)
        self.engine: SearchEngine = faulty_engine(self.vectors, self.metadata, self.faults, *models)

    @rule(name=NAME, at=AT, moment=MOMENT)
    def add(self, name: str, at: int | None, moment: Moment) -> None:
        path, token = self.path(name), next(self.counter)
        if not os.path.exists(path):
            return
        for replaced in filter(None, map(self.engine.get, self.ids_of(path))):
            self.tokens -= {replaced.metadata.get("token")}  # type: ignore[arg-type]
        # Its image may be in another file by now, which then has none.
        self.homes.pop(path, None)
        self.homes = {path: t for path, t in self.homes.items() if t in self.tokens}
        self.arm(at, moment)
        try:
            self.engine.add(path, metadata={"token": token})
            self.tokens.add(token)
            self.homes[path] = token
        except ProcessDied:
            self.open_again(both=True)
            self.tokens |= {token} & self.stored_tokens().keys()

    @rule(changes=st.lists(CHANGE, min_size=1, max_size=4), at=AT, moment=MOMENT)
    def change_and_index(
        self, changes: list[tuple[str, str, str]], at: int | None, moment: Moment
    ) -> None:
        self.change(changes)
        self.index(at, moment)

    @rule(at=AT, moment=MOMENT)
    def index(self, at: int | None, moment: Moment) -> None:
        self.forget_homes_of_copies()
        self.arm(at, moment)
        try:
            assert self.run().failures == []
        except ProcessDied:
            self.open_again(both=True)
        else:
            self.everything_is_found()

    @rule(at=AT, moment=MOMENT)
    def prune(self, at: int | None, moment: Moment) -> None:
        before = self.stored_tokens()
        self.forget_homes_of_copies()
        self.arm(at, moment)
        try:
            assert self.run(prune=True).failures == []
        except ProcessDied:
            self.open_again(both=True)
        except InvalidArgumentError:
            self.faults.revive()
            assert self.holds_an_emptied_folder()
        else:
            self.everything_is_found()
            inside = [str(r.uri) for r in self.records() if is_below(str(r.uri), str(self.root))]
            assert set(inside) <= files_in(self.root).keys()
        self.faults.revive()
        after, shown = self.stored_tokens(), set(files_in(self.root).values())
        described = {shown_by(record) for record in after.values()}
        for token in (self.tokens & before.keys()) - after.keys():
            name = shown_by(before[token])
            assert name not in shown or name in described, f"metadata of {name} were pruned"
            assert before[token].uri not in self.files_of_the_drive()
        self.tokens &= after.keys()
        self.homes = {path: t for path, t in self.homes.items() if t in self.tokens}

    @rule(at=AT, moment=MOMENT)
    def backfill(self, at: int | None, moment: Moment) -> None:
        if "two" not in self.engine.models:
            return
        self.arm(at, moment)
        try:
            self.engine.backfill("two")
        except ProcessDied:
            self.open_again(both=True)
            return
        shown = files_in(self.root)
        for record in self.records():
            if shown.get(str(record.uri)) == shown_by(record):
                assert "two" in record.models

    # What must hold.

    def records(self) -> list[Record]:
        return list(self.engine._catalog.records.values())

    def stored_tokens(self) -> dict[int, Record]:
        tokens = ((record.metadata.get("token"), record) for record in self.records())
        return {token: record for token, record in tokens if isinstance(token, int)}

    def holds_an_emptied_folder(self) -> bool:
        folders = [Path(str(r.uri)).parent for r in self.records() if not exists(r)]
        return any(folder.is_dir() and not any(folder.iterdir()) for folder in folders)

    def everything_is_found(self) -> None:
        """After a run each file is found, and no file for what it does not show."""
        self.faults.revive()
        shown = files_in(self.root)
        for name in set(shown.values()):
            for model in self.engine.models:
                hits = self.engine.search(picture(name), model=model, limit=50)
                uris = [str(hit.uri) for hit in hits if hit.distance < 1e-3]
                assert any(shown.get(uri) == name for uri in uris), f"{name} is lost"
                stale = [uri for uri in uris if shown.get(uri, name) != name]
                assert stale == [], f"they do not show {name} any more"
        for path, token in self.homes.items():
            if path in shown:
                record = self.engine.get(self.ids_of(path)[0])
                assert record is not None
                assert record.metadata == {"token": token}

        self.every_copy_is_known(shown)

    def every_copy_is_known(self, shown: dict[str, str]) -> None:
        files: defaultdict[str, set[str]] = defaultdict(set)
        for path, name in shown.items():
            files[name].add(path)
        # Files that are gone are forgotten by a prune only.
        groups = [shown.keys() & set(group) for group in self.engine.copies()]
        wanted = {frozenset(paths) for paths in files.values() if len(paths) > 1}
        assert {frozenset(group) for group in groups if len(group) > 1} == wanted
        stored = {str(record.uri) for record in self.records()}
        for record in self.engine.records():
            others = {path for path in record.paths if path in shown and path != record.uri}
            assert others == files[shown_by(record)] - stored, "a record lacks the path of a copy"

    def forget_homes_of_copies(self) -> None:
        """Files with the same bytes may take each other's place."""
        shown = {**files_in(self.root), **self.files_of_the_drive()}
        files, stored = Counter(shown.values()), Counter(map(shown_by, self.records()))
        self.homes = {
            path: token
            for path, token in self.homes.items()
            if path in shown and files[shown[path]] == stored[shown[path]] == 1
        }

    def files_of_the_drive(self) -> dict[str, str]:
        """What the files show that are unmounted, by the path that they have else."""
        drive = self.path("y")
        return {p.replace(str(self.away), drive): name for p, name in files_in(self.away).items()}

    @invariant()
    def no_metadata_are_lost(self) -> None:
        self.faults.revive()
        assert self.tokens <= self.stored_tokens().keys()

    @invariant()
    def every_vector_is_that_of_its_record(self) -> None:
        self.faults.revive()
        records = self.records()
        for model in self.engine.models:
            for name in PICTURES:
                hits = self.engine.search(picture(name), model=model, limit=50)
                found = {hit.id for hit in hits if hit.distance < 1e-3}
                showing = (r for r in records if shown_by(r) == name)
                assert found == {record.id for record in showing if model in record.models}

    def teardown(self) -> None:
        self.open_again(both=True)
        report = self.engine.verify()
        shutil.rmtree(self.base)
        assert report.ok, report.findings


class AlbumsThatMove(FilesInAnyOrder):
    """The same, of an index whose root moves."""

    numbers = itertools.count(1)

    def run(self, **options: bool) -> IndexReport:
        return self.engine.index(self.root, root=self.root, **options)  # type: ignore[arg-type]

    def ids_of(self, path: str) -> tuple[str, ...]:
        return os.path.relpath(path, self.root), path

    @rule()
    def move_album(self) -> None:
        self.faults.revive()
        goal = self.base / f"album {next(self.numbers)}"
        self.root.rename(goal)
        # What was added by an absolute path, before the index knew of the last move, stays there.
        relative = {t for t, record in self.stored_tokens().items() if record.id in NAMES}
        homes = {path: token for path, token in self.homes.items() if token in relative}
        self.homes = {path.replace(str(self.root), str(goal)): t for path, t in homes.items()}
        self.root = goal


CONTENTS: dict[str | None, str] = {}


def shown_by(record: Record) -> str:
    """What the bytes showed of which a record was made."""
    return CONTENTS[record.content]


def exists(record: Record) -> bool:
    return os.path.exists(str(record.uri))


def _learn_contents() -> None:
    engine = faulty_engine(InMemoryVectorStore(), InMemoryMetadataStore(), Faults())
    for data, name in BYTES.items():
        record = engine.get(engine.add(data))
        assert record is not None
        CONTENTS[record.content] = name


_learn_contents()

TestFilesInAnyOrder = pytest.mark.integration(FilesInAnyOrder.TestCase)
TestFilesInAnyOrder.settings = settings(stateful_step_count=25)
TestAlbumsThatMove = pytest.mark.integration(AlbumsThatMove.TestCase)
TestAlbumsThatMove.settings = settings(
    max_examples=settings().max_examples // 3, stateful_step_count=25
)
