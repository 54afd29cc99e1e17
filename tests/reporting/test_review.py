"""Reviews of duplicates: suggestions, the page and files of decisions."""

from __future__ import annotations

import copy
import csv
import json
import os
import pickle
import re
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image, ImageFilter

from onnxsearch import (
    ClosedError,
    DuplicateGroups,
    DuplicateImage,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Progress,
    ReadPolicy,
    SearchEngine,
    exif,
)
from onnxsearch.images.sharpness import sharpness
from onnxsearch.search import duplicate_groups
from onnxsearch.search.keep_suggestion import suggest
from tests.reporting.duplicates import EVIL, Shape, duplicates, motif
from tests.reporting.test_reports import parsed


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuplicateGroups]:
    with duplicates(tmp_path_factory.mktemp("album")) as groups:
        yield groups


@pytest.fixture(scope="module")
def page(groups: DuplicateGroups, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "review.html"
    assert groups.to_html(path) == path
    return path.read_text("utf-8")


def image(id: str, **facts: object) -> DuplicateImage:
    known: dict[str, object] = {
        "width": 40, "height": 30, "sharpness": 100.0, "modified": 1e9, "file_size": 1000,
    }  # fmt: skip
    return DuplicateImage(id, f"/album/{id}", **(known | facts))  # type: ignore[arg-type]


BETTER = {
    "largest": {"width": 41},
    "sharpest": {"sharpness": 120.0},
    "oldest": {"modified": 9e8},
    "largest file": {"file_size": 1001},
}


@pytest.mark.parametrize("reason", BETTER)
def test_one_difference_decides_and_is_the_reason(reason: str) -> None:
    better = image("z", **BETTER[reason])
    suggestion = suggest(1, [image("a"), better, image("b")])
    assert (suggestion.keep, suggestion.reason) == ("z", reason)


def test_the_first_rule_that_makes_a_difference_decides() -> None:
    order = list(BETTER)
    for weaker, stronger in zip(order[1:], order, strict=False):
        images = [image("weak", **BETTER[weaker]), image("strong", **BETTER[stronger])]
        assert suggest(1, images).keep == "strong"


@pytest.mark.parametrize(
    ("facts", "keep"),
    [
        # A few hundredths of sharpness are noise of the compression: then the date counts.
        ([{"sharpness": 100.0, "modified": 1e9}, {"sharpness": 95.0, "modified": 9e8}], 1),
        # The time of a camera is that of the original; a file's may be that of a copy.
        ([{"modified": 1e8}, {"taken": "2020-01-02T10:00:00"}], 1),
        ([{"taken": "2021-01-02T10:00:00"}, {"taken": "2020-01-02T10:00:00"}], 1),
        ([{"is_copy": True}, {}], 1),
        ([{"modified": None}, {"modified": 1e9}], 1),
        # Nothing tells them apart.
        ([{}, {}], 0),
    ],
)
def test_which_of_two_is_kept(facts: list[dict[str, object]], keep: int) -> None:
    images = [image(str(number), **each) for number, each in enumerate(facts)]
    assert suggest(1, images).keep == str(keep)


def test_what_cannot_be_read_is_not_kept() -> None:
    gone = DuplicateImage("a", "/album/a")
    assert suggest(1, [gone, image("b")]).keep == "b"
    assert suggest(1, [gone, image("b")]).reason.startswith("readable")
    nothing = suggest(1, [gone, DuplicateImage("memory")])
    assert (nothing.keep, nothing.reason) == (None, "no image can be read")
    assert {nothing.decision(each) for each in nothing.images} == {"undecided"}


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "width": st.sampled_from([40, 80]),
                "sharpness": st.sampled_from([90.0, 95.0, 100.0, 104.0]),
                "modified": st.sampled_from([1e9, 2e9, None]),
                "taken": st.sampled_from([None, "2020-01-01T00:00:00", "2021-01-01T00:00:00"]),
                "file_size": st.sampled_from([1000, 2000]),
                "is_copy": st.booleans(),
            }
        ),
        min_size=2,
        max_size=4,
    )
)
def test_the_order_of_a_group_changes_nothing(facts: list[dict[str, object]]) -> None:
    images = [image(str(number), **each) for number, each in enumerate(facts)]
    chosen = {(found.keep, found.reason) for found in (suggest(1, o) for o in permutations(images))}
    assert len(chosen) == 1
    ((keep, _),) = chosen
    kept = next(each for each in images if each.id == keep)
    assert all(kept.pixels >= each.pixels for each in images)
    rivals = [each for each in images if each.pixels == kept.pixels]
    assert all((kept.sharpness or 0) >= 0.9 * (each.sharpness or 0) for each in rivals)


def test_sharpness_falls_with_blur_and_with_enlargement() -> None:
    sharp = motif(0, 768, 512)
    blurred = [sharp.filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1, 2, 4)]
    values = [sharpness(each) for each in blurred]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.2 * values[0]
    enlarged = sharp.resize((96, 64)).resize((768, 512), Image.Resampling.BICUBIC)
    assert sharpness(enlarged) < sharpness(sharp)
    assert sharpness(Image.new("RGB", (640, 480), "gold")) == 0
    for size in ((1, 1), (1, 4000), (4000, 1), (3, 2)):
        assert sharpness(Image.new("RGB", size, "gold")) == pytest.approx(0, abs=1e-6)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    padded = levels.astype(float)
    laplacian = sum(np.roll(padded, step, axis) for step in (1, -1) for axis in (0, 1)) - 4 * padded
    expected = laplacian[1:-1, 1:-1].var()
    assert sharpness(Image.fromarray(levels).convert("RGB")) == pytest.approx(expected, rel=1e-5)


def test_groups_are_the_list_that_they_were(groups: DuplicateGroups) -> None:
    plain = [tuple(group) for group in groups]
    assert isinstance(groups, list)
    assert groups == plain
    assert plain + groups == plain * 2
    assert json.loads(json.dumps(groups)) == [list(group) for group in plain]
    assert isinstance(groups[1:], DuplicateGroups)
    assert groups[1:] == plain[1:]
    assert groups[0] == plain[0]
    for made in (copy.deepcopy(groups), pickle.loads(pickle.dumps(groups))):
        assert type(made) is list
        assert made == plain


def test_groups_may_be_chosen_among(groups: DuplicateGroups) -> None:
    chosen = groups[:]
    chosen[:] = [group for group in groups if len(group) == 2]
    (suggestion,) = chosen.suggestions()
    assert (len(suggestion.images), suggestion.keep) == (2, None)


def test_suggestions_are_what_the_files_say(groups: DuplicateGroups) -> None:
    suggestions = groups.suggestions()
    kept = [each.keep and os.path.basename(each.keep) for each in suggestions]
    assert [each.group for each in suggestions] == [1, 2, 3, 4]
    assert {"large.png", None} < set(kept)
    assert {"sharp.png", "sharp copy.png"} & set(kept)
    by_name = {os.path.basename(i.path): i for s in suggestions for i in s.images if i.path}
    large = by_name["large.png"]
    assert (large.width, large.height) == (192, 128)
    assert large.file_size == os.path.getsize(large.path or "")
    assert large.modified == os.path.getmtime(large.path or "")
    assert sum(each.is_copy for each in by_name.values()) == 1
    rows = suggestions.to_dicts()
    assert len(rows) == sum(map(len, groups))
    assert len(suggestions.to_pandas()) == len(suggestions.to_arrow()) == len(rows)
    assert repr(suggestions) == "<KeepSuggestions for 3 of 4 groups>"


def test_progress_counts_the_images(groups: DuplicateGroups) -> None:
    seen: list[Progress] = []
    groups.suggestions(progress=seen.append)
    total = sum(map(len, groups))
    assert [each.done for each in seen][-1] == total
    assert {each.total for each in seen} == {total}


def test_a_photograph_is_measured_upright_and_by_its_camera(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    tags.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    motif(5).save(tmp_path / "turned.jpg", exif=tags, quality=95)
    motif(5).rotate(-90, expand=True).save(tmp_path / "upright.jpg", quality=95)
    assert exif(tmp_path / "turned.jpg")["taken"] == "2001-02-03T04:05:06"
    with SearchEngine([Shape()], InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(tmp_path / "turned.jpg")
        engine.add(tmp_path / "upright.jpg")
        # Vectors of this model do not know which way is up.
        (suggestion,) = engine.duplicates(2.0).suggestions()
    turned = next(i for i in suggestion.images if (i.path or "").endswith("turned.jpg"))
    assert (turned.width, turned.height, turned.taken) == (128, 192, "2001-02-03T04:05:06")
    assert suggestion.keep == turned.id
    assert suggestion.reason == "oldest"


def test_files_that_are_gone_damaged_or_refused_leave_their_names(tmp_path: Path) -> None:
    names = ("gone.png", "cut.png", "huge.png", "fine.png")
    for number, name in enumerate(names):
        motif(6, 96 + 2 * number, 64).save(tmp_path / name)
    policy = ReadPolicy(max_pixels=90 * 64 * 2)
    models, stores = [Shape()], (InMemoryVectorStore(), InMemoryMetadataStore())
    with SearchEngine(models, *stores, reading=policy) as engine:
        engine.index(tmp_path)
        groups = engine.duplicates(0.5)
        assert len(groups[0]) == 4
        (tmp_path / "gone.png").unlink()
        (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:200])
        motif(6, 960, 640).save(tmp_path / "huge.png")
        (suggestion,) = groups.suggestions()
        assert suggestion.keep == str(tmp_path / "fine.png")
        page = groups.to_html(tmp_path / "page.html").read_text("utf-8")
    assert page.count("no image") == 3
    assert page.count("cannot be read") == 3


def test_an_image_that_was_removed_since_is_no_copy(tmp_path: Path) -> None:
    with SearchEngine([Shape()], InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        for id in "abc":
            engine.add(motif(7), id=id)
        groups = engine.duplicates(0.5)
        engine.remove("a")
        (suggestion,) = groups.suggestions()
    assert [each.is_copy for each in suggestion.images] == [False] * 3


def test_a_closed_engine_is_told(tmp_path: Path) -> None:
    with SearchEngine.open(tmp_path / "index", embedders=[Shape()]) as engine:
        engine.add(motif(8), id="a")
        engine.add(motif(8), id="b")
        groups = engine.duplicates(0.5)
    with pytest.raises(ClosedError):
        groups.to_html(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_page_holds_all_that_it_needs_and_believes_no_name(page: str) -> None:
    tags = parsed(page)
    for tag, attributes in tags.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/jpeg;base64,").startswith("data:image/jpeg")
        assert "href" not in attributes, tag
    assert [name for name, _ in tags.tags].count("script") == 2, "its data, and its script"
    assert not {"b onclick", "base"} & {name for name, _ in tags.tags}
    assert "url(" not in page
    assert "@import" not in page
    assert "script-src 'sha256-" in page
    shown = "".join(tags.text)
    for name in EVIL:
        assert name.replace("/", "\u2215") in shown
    assert "memory <two>" in shown
    assert page.count("data:image/jpeg") == 9
    assert page.count(">exact copy<") == 1
    assert len(re.findall(r"Suggested to keep", page)) == 3


def test_the_data_of_the_page_are_exact(groups: DuplicateGroups, page: str) -> None:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert not set("<>&") & set(text)
    data = json.loads(text)
    members = [(n, id) for n, group in enumerate(groups, 1) for id in group]
    assert [(group, id) for group, id, *_ in data["images"]] == members
    assert "&" in "".join(id for _, id in members)


def test_no_groups_make_a_page_too(groups: DuplicateGroups, tmp_path: Path) -> None:
    page = groups[:0].to_html(tmp_path / "page.html").read_text("utf-8")
    assert "No image has a duplicate" in page
    assert "toolbar" not in "".join(str(tag) for tag in parsed(page).tags)


def test_large_results_make_a_page_of_bounded_size(
    groups: DuplicateGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_groups, "_THUMBNAILS", ((2, 32), (5, 16)))
    monkeypatch.setattr(duplicate_groups, "_MOST_OF_A_GROUP", 2)
    page = groups.to_html(tmp_path / "page.html").read_text("utf-8")
    shown = "".join(parsed(page).text)
    assert "4 groups of duplicates" in shown
    assert page.count("<li ") == 4
    assert "and 2 more groups" in shown
    assert "groups[2:].to_html(...)" in shown
    assert shown.count("and 1 more images") == 2
    rest = groups[2:].to_html(tmp_path / "rest.html").read_text("utf-8")
    assert rest.count("<li ") == 4


def test_files_of_decisions(groups: DuplicateGroups, tmp_path: Path) -> None:
    suggestions = groups.suggestions()
    document = json.loads(suggestions.to_json(tmp_path / "d.json").read_text("ascii"))
    assert (document["format"], document["version"]) == ("onnxsearch duplicate decisions", 1)
    assert [each["id"] for each in document["decisions"]] == [id for g in groups for id in g]
    kept = {each["id"] for each in document["decisions"] if each["decision"] == "keep"}
    assert kept == {each.keep for each in suggestions if each.keep}
    with open(suggestions.to_csv(tmp_path / "d.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, each in zip(rows, document["decisions"], strict=True):
        path = each["path"] or ""
        assert row == {**each, "group": str(each["group"]), "path": path}
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        suggestions.to_csv(tmp_path / "nowhere" / "d.csv")


@pytest.mark.parametrize(
    "id", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "\uff1d1", 'a,"b"\n=1', "a"]
)
def test_no_cell_is_a_formula(id: str, tmp_path: Path) -> None:
    with SearchEngine([Shape()], InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        for each in (id, "other"):
            engine.add(motif(9), id=each)
        groups = engine.duplicates(0.5)
        path = groups.suggestions().to_csv(tmp_path / "d.csv")
    with open(path, newline="", encoding="utf-8") as file:
        cells = {row["id"] for row in csv.DictReader(file)}
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\uff1d"]
    assert {cell.removeprefix("'") for cell in cells} == {id, "other"}


@pytest.mark.skipif(os.name != "posix", reason="file names are text here")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"photo\xe9.png")
    for each in (name, "b.png"):
        motif(10).save(tmp_path / each, compress_level=9 if each == name else 1)
    with SearchEngine([Shape()], InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.index(tmp_path)
        groups = engine.duplicates(0.5)
        suggestions = groups.suggestions()
        document = json.loads(suggestions.to_json(tmp_path / "d.json").read_text("ascii"))
        assert str(tmp_path / name) in {each["path"] for each in document["decisions"]}
        assert "photo\\udce9.png" in suggestions.to_csv(tmp_path / "d.csv").read_text("utf-8")
        assert "photo\\udce9.png" in groups.to_html(tmp_path / "d.html").read_text("utf-8")
