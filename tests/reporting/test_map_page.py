"""The page of a map: what it contains, and what it believes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from onnxsearch.images.reading import READ_STRICTLY
from onnxsearch.reporting.map_drawing import MapCluster, MapDrawing, MapImage
from onnxsearch.reporting.map_page import map_page
from onnxsearch.reporting.scatter import scatter
from onnxsearch.reporting.sprites import sprite_sheets
from onnxsearch.testing import FakeEmbedder, write_pictures
from tests.reporting.test_reports import parsed

HOSTILE = (
    '<img src=x onerror="document.title=1">',
    "</script><script>document.title=2</script>",
    'it\'s "quoted" & \u2028 new\u2029 \u202e lines\n',
    "lone \udcff byte",
    "<!-- {data} {title} ",
    "\x00",
)


def hostile_drawing(paths: tuple[str | None, ...] = ()) -> MapDrawing:
    images = tuple(
        MapImage(text, text, path, {text: [text]}, 0.3 * number - 0.5, -0.2, number % 2 - 1)
        for number, (text, path) in enumerate(
            zip(HOSTILE, (*paths, *[None] * len(HOSTILE)), strict=False)
        )
    )
    return MapDrawing(images, (MapCluster(HOSTILE[1], 1, 3),), HOSTILE[0])


def test_a_page_believes_no_name() -> None:
    page = map_page(hostile_drawing(), READ_STRICTLY)
    page.encode("utf-8")
    tags = parsed(page).tags
    assert [tag for tag, _ in tags].count("script") == 2, "the data, and the page's own"
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "src" not in attributes
        assert "href" not in attributes
    assert "default-src 'none'" in page
    (data,) = [
        text
        for text in page.split('<script type="application/json" id="data">')[1:]
        for text in [text.split("</script>")[0]]
    ]
    assert data.isascii()
    assert json.loads(data)["ids"] == list(HOSTILE), "ids come back as they are"


def test_a_drawing_for_notebooks_believes_no_name() -> None:
    drawing = scatter(hostile_drawing())
    drawing.encode("utf-8")
    assert {tag for tag, _ in parsed(drawing).tags} <= {
        "div",
        "b",
        "br",
        "svg",
        "path",
        "span",
        "bdi",
    }


def test_files_that_cannot_be_shown_have_no_thumbnail(tmp_path: Path) -> None:
    good = write_pictures(tmp_path, ["ant", "bee"])
    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:50])
    paths = (str(good[0]), str(broken), str(tmp_path / "gone.png"), None, str(good[1]))
    page = map_page(hostile_drawing(paths), READ_STRICTLY)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [tile is not None for tile in data["tiles"]] == [True, False, False, False, True, False]
    assert len(data["sheets"]) == 1


def test_thumbnails_keep_to_their_budget(tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["ant"])
    paths = [(number, str(path)) for number in range(150)]
    whole = sprite_sheets(paths, size=16, budget=10**6, reading=READ_STRICTLY)
    assert len(whole.tiles) == 150
    budget = sum(map(len, whole.sheets[:2]))
    part = sprite_sheets(paths, size=16, budget=budget, reading=READ_STRICTLY)
    assert (len(part.sheets), len(part.tiles)) == (2, 128)


@pytest.mark.parametrize("count", [0, 1, 6])
def test_small_albums_have_pages(tmp_path: Path, count: int) -> None:
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore())
    names = ["ant", "bee", "cat", "dog", "elk", "fox"][:count]
    for path in write_pictures(tmp_path, names):
        engine.add(path)
    album = engine.map()
    page = album.to_html(tmp_path / "map.html")
    data = json.loads(page.read_text("utf-8").split('id="data">')[1].split("</script>")[0])
    assert data["ids"] == list(album.ids)
    assert len(data["tiles"]) == count
    assert f"{count} images" in album._repr_html_()
