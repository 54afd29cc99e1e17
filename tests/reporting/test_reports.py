"""Results to look at."""

from __future__ import annotations

import errno
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from onnxsearch import (
    Comparison,
    Hit,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Metric,
    Query,
    ReadPolicy,
    SearchEngine,
    SearchResults,
)
from onnxsearch.testing import FakeEmbedder, picture, write_pictures

EVIL = ['<img src=x onerror="document.title=1">.png', "</script><script>.png", "it's \u202e.png"]


def compared(folder: Path) -> tuple[Comparison, SearchResults]:
    """Results over files with names that no page should believe."""
    plain = write_pictures(folder, ["ant", "bee", "cat", "dog"])
    evil = [folder / name.replace("/", "\u2215") for name in EVIL]
    for path in evil:
        picture(path.name).save(path)
    rankings = {"one": ["ant", "bee", "cat"], "two": ["bee", "dog", "ant"], "a<b>": []}
    engine = SearchEngine(
        [
            FakeEmbedder(f"model-{number}", rankings={"query": found})
            for number, found in enumerate(rankings.values())
        ],
        InMemoryVectorStore(),
        InMemoryMetadataStore(),
    )
    report = engine.index([*plain, *evil])
    assert not report.failures
    engine.add(picture("bytes"), id="<b>no file</b>")
    comparison = engine.compare([picture("query"), Query.id("<b>no file</b>"), plain[0]], limit=6)
    return comparison, engine.search(picture("query"), limit=100)


class Tags(HTMLParser):
    """Collects what a browser would see as tags, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_a_page_holds_all_that_it_needs_and_believes_no_name(tmp_path: Path) -> None:
    comparison, results = compared(tmp_path)
    for value in (comparison, results):
        path = value.to_html(tmp_path / "out.html")
        page = path.read_text("utf-8")
        tags = parsed(page)
        for tag, attributes in tags.tags:
            assert not [name for name in attributes if name.startswith("on")]
            assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or (
                "src" not in attributes
            )
            assert "href" not in attributes, tag
        assert [tag for tag, _ in tags.tags].count("script") == 1
        assert "@import" not in page
        assert "url(" not in page
        shown = "".join(tags.text)
        for name in EVIL[:1]:
            assert name in shown
        assert "<b>no file</b>" in shown
        assert "default-src 'none'" in page


def test_lines_join_what_both_models_found(tmp_path: Path) -> None:
    comparison, _ = compared(tmp_path)
    tags = parsed(comparison.to_html(tmp_path / "out.html").read_text("utf-8")).tags
    paths = [attributes for tag, attributes in tags if tag == "path"]
    pairs = [("model-0", "model-1"), ("model-1", "model-2")]
    common = sum(
        len({*answer.results[a].ids} & {*answer.results[b].ids})
        for answer in comparison
        for a, b in pairs
    )
    assert len(paths) == common
    assert {attributes["class"] for attributes in paths} <= {"kept", "rose", "fell"}
    assert sum(tag == "li" for tag, _ in tags) == 3 * 3 * 6


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    _, results = compared(tmp_path)
    with pytest.raises(InvalidArgumentError, match="cannot be written"):
        results.to_html(tmp_path / "nowhere" / "out.html")


def test_notebooks_show_thumbnails_and_no_tag_of_a_name(tmp_path: Path) -> None:
    comparison, results = compared(tmp_path)
    for value in (comparison, results):
        tags = parsed(value._repr_html_())
        assert not {"script", "b onclick"} & {tag for tag, _ in tags.tags}
        assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
        assert EVIL[0] in "".join(tags.text)
        assert re.search(r'src="data:image/jpeg', value._repr_html_())


def test_files_that_are_gone_leave_their_names(tmp_path: Path) -> None:
    comparison, results = compared(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    page = comparison.to_html(tmp_path / "out.html").read_text("utf-8")
    assert "no image" in page
    assert "ant.png" in page
    assert results.contact_sheet(size=32).size[0] == 5 * 40 + 8


def test_contact_sheets(tmp_path: Path) -> None:
    comparison, results = compared(tmp_path)
    sheet = results.contact_sheet(columns=3, size=64)
    assert sheet.mode == "RGB"
    assert sheet.size == (3 * 72 + 8, 3 * (64 + 40) + 8)
    rows = comparison.contact_sheet(size=48)
    assert rows.size == (6 * 56 + 8, 9 * (24 + 48 + 40) + 8)
    colours = sheet.getcolors(maxcolors=1 << 20)
    assert colours is not None
    assert len(colours) > 20
    nothing = SearchResults((), "model", None).contact_sheet()
    assert isinstance(nothing, Image.Image)
    for bad in ({"columns": 0}, {"size": 3}):
        with pytest.raises(InvalidArgumentError, match="expected an integer, at least"):
            results.contact_sheet(**bad)
    for huge in ({"columns": 10**6}, {"size": 10**5}):
        with pytest.raises(InvalidArgumentError, match=f"{next(iter(huge))} .* pixels"):
            results.contact_sheet(**huge)


def test_thumbnails_show_the_file_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    results = SearchResults((Hit("a", str(path), 0.0, 1.0, {}, "model"),), "model", Metric.L2)
    shown = []
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 40), colour).save(path)
        page = results.to_html(tmp_path / "out.html").read_text("utf-8")
        shown += [page, results._repr_html_()]
    assert shown[0] != shown[2]
    assert shown[1] != shown[3]


def test_thumbnails_keep_to_the_limits_of_the_engine(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["ant"])
    hits = (Hit("ant", str(path), 0.0, 1.0, {}, "model"),)
    small = SearchResults(hits, "model", Metric.L2, ReadPolicy(max_pixels=4))
    assert "data:image" not in small._repr_html_()
    assert "data:image" in SearchResults(hits, "model", Metric.L2)._repr_html_()
    policy = ReadPolicy(max_pixels=2000)
    models = [FakeEmbedder("one"), FakeEmbedder("two")]
    engine = SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore(), reading=policy)
    engine.add(path)
    for found in (engine.search(path), engine.search(path, models=["one", "two"])):
        assert found.reading == policy
    assert engine.compare(path)._reading == policy


def test_a_page_that_fails_half_way_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, results = compared(tmp_path / "album")
    target = tmp_path / "out.html"
    before = results.to_html(target).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidArgumentError, match="No space left"):
        results.to_html(target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.html"]


def test_a_page_may_go_through_a_link_or_to_a_device(tmp_path: Path) -> None:
    results = SearchResults((), "model", Metric.L2)
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    results.to_html(tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    if os.path.exists(os.devnull) and os.name == "posix":
        results.to_html(os.devnull)
        assert not os.path.isfile(os.devnull)
