"""The page of a map in headless Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, Item, SearchEngine
from onnxsearch.testing import picture_bytes
from tests.browser import PATIENCE, launched, watched
from tests.engine.pixels import Pixels, random_pixels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration

COUNT = 90
EVIL = '</script><img src=x onerror="document.title=1"> \u2028.png'


def thumbnails(page: Page) -> int:
    """Return how many images are shown as thumbnails, without those in the middle of clusters."""
    shown = page.evaluate("document.querySelector('#map').dataset.thumbnails ?? ''").split()
    return len({*map(int, shown)} - {*page.evaluate("data.medoids")})


def wait_until(page: Page, condition: Callable[[int], bool]) -> None:
    """Wait for a number of thumbnails; the policy of the page lets Playwright run no function."""
    for _ in range(PATIENCE // 50):
        if condition(thumbnails(page)):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{thumbnails(page)} thumbnails are shown")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("album")
    engine = SearchEngine(Pixels(), InMemoryVectorStore(), InMemoryMetadataStore())
    for number, pixels in enumerate(random_pixels(COUNT, seed=2)):
        path = folder / f"image {number:02}.png"
        Image.fromarray(pixels).resize((40, 30), Image.Resampling.NEAREST).save(path)
        engine.add(path, metadata={"serial": f"no{number:03}x"})
    engine.add_many([Item(picture_bytes("evil"), EVIL, {"kind": EVIL})])
    (folder / "image 07.png").write_bytes(b"damaged")
    return engine.map().to_html(folder / "map.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(params=[390, 1920])
def page(browser: Browser, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    errors, asked = watched(page)
    page.goto(page_file.as_uri())
    yield page
    assert errors == []
    assert asked == [page_file.as_uri()]
    assert page.title() == f"{COUNT + 1} images by pixels"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_zoom_shows_thumbnails(page: Page) -> None:
    wait_until(page, lambda shown: shown == 0)
    page.locator("#clusters button").first.click()
    wait_until(page, lambda shown: shown > 0)
    page.get_by_role("button", name="Whole map").click()
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Zoom in").click()
    wait_until(page, lambda shown: shown == 0)
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -250)
    wait_until(page, lambda shown: shown > 0)


def test_a_lasso_selects_and_the_ids_are_saved(page: Page, page_file: Path) -> None:
    box = page.locator("#map").bounding_box()
    assert box is not None
    left, top = box["x"] + 3, box["y"] + 3
    right, bottom = left + box["width"] - 6, top + box["height"] - 6
    page.get_by_role("button", name="Lasso").click()
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.get_by_text(f"{COUNT + 1} images", exact=True).wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save ids as JSON").click()
    ids = json.loads(Path(saved.value.path()).read_text("utf-8"))
    assert len(ids) == COUNT + 1
    assert EVIL in ids
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save ids as text").click()
    assert str(page_file.parent / "image 03.png") in Path(saved.value.path()).read_text("utf-8")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_text("No image is selected.").wait_for()


def test_search_finds(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("SERIAL no042x")
    page.get_by_text("1 found").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("serial: no042x").wait_for()
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_text("1 image", exact=True).wait_for()
    page.locator("#words").fill("no such thing")
    page.get_by_text("0 found").wait_for()


def test_everything_works_by_keys(page: Page) -> None:
    page.locator("#map").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("1 image", exact=True).wait_for()
    before = page.evaluate("view.scale")
    for key in "++-":
        page.keyboard.press(key)
    assert page.evaluate("view.scale") == pytest.approx(1.5 * before)
    page.keyboard.press("Escape")
    page.get_by_text("No image is selected.").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_bars_anybody(browser: Browser, page_file: Path, theme: str) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
    from axe_playwright_python.sync_playwright import Axe

    # Axe is put into the page as a script, which its policy would stop.
    context = browser.new_context(bypass_csp=True, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.keyboard.press("/")
    page.keyboard.type("no042x")
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert serious == []
    context.close()
