"""The review page of duplicates in a real browser, by keyboard alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from onnxsearch import DuplicateGroups
from tests.browser import launched, watched
from tests.reporting.duplicates import EVIL, duplicates

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuplicateGroups]:
    with duplicates(tmp_path_factory.mktemp("album")) as groups:
        yield groups


@pytest.fixture
def page(browser: Browser, album: DuplicateGroups, tmp_path: Path) -> Iterator[Page]:
    path = album.to_html(tmp_path / "review.html")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    mistakes, asked = watched(page)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert mistakes == []
    assert all(url.startswith(tmp_path.as_uri()) and url.endswith(".html") for url in asked)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def states(page: Page) -> list[str]:
    script = "cards => cards.map(card => card.dataset.state)"
    found: list[str] = page.locator("li[data-image]").evaluate_all(script)
    return found


def focused(page: Page) -> str:
    """Return the number of the image that has the focus."""
    found: str = page.evaluate("document.activeElement.dataset.image ?? ''")
    return found


def exported(page: Page, name: str) -> str:
    """Export by keyboard alone, and return what was downloaded."""
    press(page, "e")
    with page.expect_download() as download:
        # The first button has the focus.
        press(page, *(["Tab"] if name == "duplicates.csv" else []), "Enter")
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_bytes().decode("utf-8")


def test_the_suggestions_are_accepted_by_keyboard_alone(
    page: Page, album: DuplicateGroups, tmp_path: Path
) -> None:
    press(page, "ArrowDown")
    assert focused(page) == "0"
    press(page, *["a"] * len(album))
    review = json.loads(exported(page, "duplicates.json"))
    suggestions = album.suggestions()
    expected = suggestions.to_json(tmp_path / "expected.json").read_text("utf-8")
    assert review == json.loads(expected)
    assert {each["decision"] for each in review["decisions"]} == {"keep", "remove", "undecided"}
    expected = suggestions.to_csv(tmp_path / "expected.csv").read_bytes().decode("utf-8")
    assert exported(page, "duplicates.csv") == expected


def test_decisions_by_keyboard_alone(page: Page, album: DuplicateGroups) -> None:
    sizes = [len(group) for group in album]
    press(page, "ArrowDown", "k", "ArrowRight", "x")
    assert focused(page) == "1"
    assert states(page)[:3] == ["keep", "remove", ""]
    press(page, "x")
    assert states(page)[:2] == ["keep", ""], "the same key takes a decision back"
    press(page, "u", "u")
    assert states(page)[:2] == ["keep", ""], "undone in the order of the keys"
    press(page, "u", "u")
    assert set(states(page)) == {""}, "nothing is left to undo"
    press(page, "ArrowDown")
    assert focused(page) == str(sizes[0])
    press(page, "ArrowUp", "End")
    assert focused(page) == str(sizes[0] - 1)
    press(page, "Home", "ArrowLeft", "ArrowUp")
    assert focused(page) == "0"
    press(page, "X", "ArrowRight", "x", "ArrowRight", "x")
    assert page.get_by_text("Nothing of this group is kept.").first.is_visible()
    press(page, "e")
    assert page.get_by_text("Of 1 groups, nothing is kept.").is_visible()
    press(page, "Escape", "?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    press(page, "k", "Escape")
    assert states(page)[2] == "remove", "keys of the page do nothing in a dialog"
    assert focused(page) == "2", "the focus is where it was"


def test_the_focus_is_seen_and_not_covered(page: Page, album: DuplicateGroups) -> None:
    press(page, "ArrowDown", *["ArrowDown"] * (len(album) - 1), *["ArrowUp"] * (len(album) - 1))
    script = """() => {
      const [card, bar] = [document.activeElement, document.querySelector(".toolbar")];
      const [a, b] = [card.getBoundingClientRect(), bar.getBoundingClientRect()];
      const isInside = a.top >= b.bottom - 1 && a.bottom <= innerHeight + 1;
      return [getComputedStyle(card).outlineStyle, isInside];
    }"""
    assert page.evaluate(script) == ["solid", True]


def test_the_mouse_does_the_same(page: Page) -> None:
    card = page.locator("li[data-image]").nth(1)
    card.get_by_role("button", name="Remove").click()
    assert states(page)[1] == "remove"
    assert card.get_by_role("button", name="Remove").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Undo").click()
    assert states(page)[1] == ""
    page.get_by_role("button", name="Accept", exact=True).first.click()
    first = states(page)[:3]
    assert sorted(first) == ["keep", "remove", "remove"]
    page.get_by_role("button", name="Accept all", exact=True).click()
    assert states(page)[:3] == first
    assert states(page).count("keep") >= 2
    page.get_by_role("button", name="Start over").click()
    assert set(states(page)) == {""}
    press(page, "u")
    assert states(page).count("keep") >= 2


def test_decisions_survive_a_reload_and_a_new_page_of_the_same_groups(
    page: Page, album: DuplicateGroups, tmp_path: Path
) -> None:
    press(page, "ArrowDown", "a", "k")
    before = states(page)
    page.reload()
    assert states(page) == before
    again = album.to_html(tmp_path / "again.html")
    page.goto(again.as_uri())
    assert states(page) == before
    other = album[1:].to_html(tmp_path / "other.html")
    page.goto(other.as_uri())
    assert set(states(page)) == {""}, "other groups are another review"
    page.evaluate("localStorage.clear()")
    page.goto((tmp_path / "review.html").as_uri())


@pytest.mark.parametrize("stored", ["{}", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "<b>"])
def test_what_others_stored_does_no_harm(page: Page, stored: str) -> None:
    press(page, "ArrowDown", "k")
    place = page.evaluate("Object.keys(localStorage)[0]")
    page.evaluate("([place, text]) => localStorage.setItem(place, text)", [place, stored])
    page.reload()
    assert set(states(page)) == {""}


def test_a_browser_that_stores_nothing_says_so(page: Page) -> None:
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    press(page, "ArrowDown", "k")
    assert page.get_by_text("stores nothing for this page").is_visible()
    assert states(page)[0] == "keep"
    exported(page, "duplicates.json")


def test_no_name_is_believed(page: Page) -> None:
    assert page.title().endswith("groups of duplicates")
    for name in (each.replace("/", "\u2215") for each in EVIL):
        assert page.get_by_text(name, exact=True).count() >= 1
    rows = list(csv.reader(exported(page, "duplicates.csv").splitlines(keepends=True)))
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_it_fits_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("keys", [[], ["ArrowDown", "k", "ArrowRight", "x"], ["?"], ["e"]])
def test_it_is_accessible(page: Page, keys: list[str]) -> None:
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright")
    press(page, *keys)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found = axe.Axe().run(page).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        lines = [
            f"{e['id']}: {n['html'][:200]} {n['failureSummary']}"
            for e in grave
            for n in e["nodes"][:3]
        ]
        assert lines == [], "\n".join(lines)
