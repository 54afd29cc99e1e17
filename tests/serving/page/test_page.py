"""The page as a person uses it, in Chromium."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from onnxsearch.testing import FakeEmbedder, picture
from tests.engine.mosaic import Mosaic, collage, patchwork
from tests.serving.page.colours import NAMES, ColourEmbedder, write_colour
from tests.serving.page.conftest import SHADES, OpenPage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

if TYPE_CHECKING:
    from playwright.sync_api import JSHandle, Locator, Page

    from tests.serving.page.service import RunningService

ALL = len(NAMES) + SHADES


@pytest.fixture(autouse=True)
def _browser(browser: object) -> None:
    """Skip all tests here where a browser is missing."""
    del browser


def expect(locator: Locator) -> object:
    from playwright.sync_api import expect

    return expect(locator)


def first(page: Page) -> Locator:
    return page.locator("#grid .tile").first


def finds(page: Page, name: str) -> None:
    """Wait until the image of this name is the first one."""
    expect(first(page).locator(".name")).to_have_text(name)


def transfer(page: Page, path: Path) -> JSHandle:
    """Return what a drop or the clipboard brings: one file."""
    return page.evaluate_handle(
        """([bytes, name]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return data;
        }""",
        [list(path.read_bytes()), path.name],
    )


class TestBrowsing:
    def test_shows_all_images_as_the_reader_scrolls(self, page: Page) -> None:
        expect(page.locator("#heading")).to_have_text("All images")
        page.locator("#foot, footer").scroll_into_view_if_needed()
        expect(page.locator(".tile .open")).to_have_count(ALL)
        expect(page.get_by_role("status")).to_have_text(f"{ALL} images")
        expect(page.locator("#more")).to_be_hidden()

    def test_shows_more_at_a_click_where_scripts_do_not_see_scrolling(self, page: Page) -> None:
        page.locator("#more").evaluate("button => button.click()")
        expect(page.locator(".tile .open")).to_have_count(ALL)

    def test_pages_are_as_large_as_the_service_allows(
        self, open_page: OpenPage, colours: SearchEngine
    ) -> None:
        from onnxsearch.serving import ServiceLimits
        from tests.serving.page.service import running

        with running(colours, limits=ServiceLimits(top_k=20)) as service:
            page = open_page(service.url)
            expect(first(page)).to_be_visible()
            for count in (40, 60, ALL):
                page.locator("footer").scroll_into_view_if_needed()
                expect(page.locator(f".tile:nth-child({count}) .open")).to_be_attached()
            page.get_by_role("link", name="Duplicates").click()
            expect(page.locator(".group").first).to_be_visible()

    def test_a_new_search_begins_at_the_top(self, page: Page) -> None:
        page.locator(".tile .open").nth(40).focus()
        assert page.evaluate("scrollY") > 0
        page.keyboard.press("s")
        expect(page.locator("#heading")).to_contain_text("Similar to")
        assert page.evaluate("scrollY") == 0

    def test_orders(self, page: Page) -> None:
        finds(page, "blue.png")
        page.get_by_label("Order").select_option("-modified")
        expect(page).to_have_url(re.compile("order=-modified"))

    def test_thumbnails_are_loaded(self, page: Page) -> None:
        expect(first(page).locator("img.loaded")).to_be_visible()
        assert first(page).locator("img").evaluate("image => image.naturalWidth") > 0

    def test_an_empty_index_says_how_to_fill_it(self, open_page: OpenPage) -> None:
        from tests.serving.page.service import running

        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        with SearchEngine(FakeEmbedder(), *stores) as engine, running(engine) as service:
            page = open_page(service.url)
            expect(page.locator("#empty")).to_contain_text("onnxsearch index LOCATION FOLDER")


class TestImages:
    def test_upload(self, page: Page, red: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(red)
        finds(page, "red.png")
        expect(page.locator("#heading")).to_have_text("Similar to my-red.png")
        expect(page.get_by_role("status")).to_contain_text("by colour")

    def test_drop(self, page: Page, red: Path) -> None:
        data = transfer(page, red)
        page.dispatch_event("main", "dragenter", {"dataTransfer": data})
        expect(page.locator("#drop-zone")).to_be_visible()
        expect(page.locator("#drop-add")).to_be_hidden()
        page.dispatch_event("#drop-zone > div", "drop", {"dataTransfer": data})
        expect(page.locator("#drop-zone")).to_be_hidden()
        finds(page, "red.png")

    def test_drop_as_another_example(self, page: Page, red: Path, blue: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(red)
        finds(page, "red.png")
        data = transfer(page, blue)
        page.dispatch_event("main", "dragenter", {"dataTransfer": data})
        page.dispatch_event("#drop-add", "drop", {"dataTransfer": data})
        expect(page.locator("#heading")).to_have_text("Similar to 2 examples")
        finds(page, "purple.png")  # between red and blue
        page.get_by_role("button", name="Remove my-red.png").click()
        finds(page, "blue.png")

    def test_less_like_an_image(self, page: Page) -> None:
        page.goto(f"{page.url}?text=red")
        finds(page, "red.png")
        page.get_by_role("button", name=re.compile("^crimson")).focus()
        page.keyboard.press("d")
        expect(page).to_have_url(re.compile(r"\?text=red&unlike=named%2Fcrimson.png"))
        expect(page.locator(".part.unlike")).to_contain_text("crimson.png")
        expect(page.locator("#heading")).to_have_text("Similar to “red”, unlike crimson.png")
        expect(page.get_by_role("status")).to_contain_text("images by colour")
        expect(page.get_by_role("button", name=re.compile("^crimson"))).to_have_count(0)
        page.get_by_role("button", name="Remove crimson.png").click()
        expect(page.get_by_role("button", name=re.compile("^crimson"))).to_have_count(1)

    def test_paste(self, page: Page, red: Path) -> None:
        data = transfer(page, red)
        page.evaluate(
            """clipboardData => document.body.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
            data,
        )
        finds(page, "red.png")

    def test_phones_offer_a_camera(self, open_page: OpenPage, service: RunningService) -> None:
        phone = open_page(service.url, width=390, has_touch=True, is_mobile=True)
        camera = phone.get_by_label("Take a photo")
        expect(camera).to_have_attribute("capture", "environment")
        expect(phone.locator(".camera")).to_be_visible()

    def test_no_image(self, page: Page, tmp_path: Path) -> None:
        file = tmp_path / "notes.png"
        file.write_bytes(b"no image at all")
        page.get_by_label("Choose an image").set_input_files(file)
        expect(page.get_by_role("alert")).to_contain_text("image")

    def test_too_large(self, page: Page, tmp_path: Path) -> None:
        file = tmp_path / "large.png"
        with file.open("wb") as data:
            data.truncate(33 * 2**20)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        page.get_by_label("Choose an image").set_input_files(file)
        expect(page.get_by_role("alert")).to_contain_text("up to 32 MiB")
        assert sent == []


class TestParts:
    """A part of the image that is searched with: by numbers, and by dragging."""

    @pytest.fixture
    def halves(self, tmp_path: Path) -> Path:
        """Return an image that is red on the left, and blue on the right."""
        image = Image.new("RGB", (200, 100), "red")
        image.paste("blue", (120, 0, 200, 100))
        image.save(tmp_path / "halves.png")
        return tmp_path / "halves.png"

    def test_by_numbers(self, page: Page, halves: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(halves)
        finds(page, "purple.png")
        page.get_by_role("button", name="Search with a part of halves.png").click()
        expect(page.get_by_label("Right", exact=True)).to_have_value("200")
        page.get_by_label("Right", exact=True).fill("120")
        page.keyboard.press("Enter")
        finds(page, "red.png")
        expect(page.locator("#heading")).to_have_text("Similar to a part of halves.png")
        expect(page).to_have_url(re.compile("box=0%2C0%2C120%2C100"))
        page.get_by_role("button", name="A part of halves.png is searched with").click()
        expect(page.get_by_label("Right", exact=True)).to_have_value("120")
        page.get_by_role("button", name="Whole image").click()
        finds(page, "purple.png")
        page.go_back()
        finds(page, "red.png")

    def test_by_dragging(self, page: Page, halves: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(halves)
        page.get_by_role("button", name="Search with a part of halves.png").click()
        expect(page.get_by_label("Bottom", exact=True)).to_be_enabled()
        box = page.locator("#crop-frame").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.4 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] + 40, box["y"] + 0.6 * box["height"], steps=3)
        page.mouse.up()
        expect(page.get_by_label("Right", exact=True)).to_have_value("200")
        assert 125 < int(page.get_by_label("Left", exact=True).input_value()) < 155
        page.get_by_role("button", name="Find images like it").click()
        finds(page, "blue.png")

    def test_what_is_no_part_is_not_searched_for(self, page: Page, halves: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(halves)
        page.get_by_role("button", name="Search with a part of halves.png").click()
        page.get_by_label("Left", exact=True).fill("150")
        page.get_by_label("Right", exact=True).fill("20")
        page.get_by_role("button", name="Find images like it").click()
        expect(page.locator("#crop")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#crop")).to_be_hidden()

    def test_images_that_contain_a_stored_one(self, open_page: OpenPage, tmp_path: Path) -> None:
        from tests.serving.page.service import running

        collage(1, 2, (32, 64)).save(tmp_path / "collage.png")
        patchwork(2).save(tmp_path / "part.png")
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        with SearchEngine(Mosaic(), *stores) as engine:
            engine.index(tmp_path, root=tmp_path)
            with running(engine, token="a-token-of-a-test") as service:
                page = open_page(service.url, "?id=part.png")
                page.locator("#token-input").fill("a-token-of-a-test")
                page.get_by_role("button", name="Continue").click()
                page.get_by_role("button", name="Search with a part of part.png").click()
                page.get_by_role("button", name="Find images that contain it").click()
                finds(page, "collage.png")
                expect(page.locator("#heading")).to_have_text(
                    "Images that contain a part of part.png"
                )
                expect(page.get_by_role("status")).to_contain_text("by mosaic.regions")
                first(page).locator(".open").click()
                expect(page.locator("#details-likeness")).to_contain_text("% from the left")
                expect(page.locator("#details-region")).to_be_visible()
                page.keyboard.press("Escape")
                page.get_by_role("button", name="Remove part.png").click()
                expect(page.locator("#heading")).to_have_text("All images")

    def test_a_file_that_no_browser_shows(self, page: Page, tmp_path: Path) -> None:
        Image.new("RGB", (40, 30), "red").save(tmp_path / "red.tif")
        page.get_by_label("Choose an image").set_input_files(tmp_path / "red.tif")
        finds(page, "red.png")
        page.get_by_role("button", name="Search with a part of red.tif").click()
        expect(page.locator("#crop-unusable")).to_be_visible()
        expect(page.get_by_role("button", name="Find images like it")).to_be_disabled()


class TestWords:
    def test_finds_and_can_be_shared(self, page: Page, open_page: OpenPage) -> None:
        page.get_by_label("Search by words").fill("navy")
        page.keyboard.press("Enter")
        finds(page, "navy.png")
        expect(page).to_have_url(re.compile(r"\?text=navy$"))
        other = open_page(page.url)
        finds(other, "navy.png")

    def test_back(self, page: Page) -> None:
        page.get_by_label("Search by words").fill("navy")
        page.keyboard.press("Enter")
        finds(page, "navy.png")
        page.go_back()
        expect(page.locator("#heading")).to_have_text("All images")
        finds(page, "blue.png")

    def test_a_model_without_words_says_why(self, page: Page) -> None:
        page.get_by_label("Model", exact=True).select_option("grey")
        expect(page.locator("#no-words")).to_contain_text("cannot search by words")
        expect(page.get_by_label("Search by words")).to_be_hidden()
        page.get_by_role("button", name="Use colour for words").click()
        expect(page.get_by_label("Search by words")).to_be_enabled()


class TestModels:
    def test_switch(self, page: Page, red: Path) -> None:
        page.get_by_label("Choose an image").set_input_files(red)
        expect(page.get_by_role("status")).to_contain_text("by colour")
        page.get_by_label("Model", exact=True).select_option("grey")
        expect(page.get_by_role("status")).to_contain_text("by grey")
        expect(page).to_have_url(re.compile("model=grey"))

    def test_compare(self, page: Page) -> None:
        first(page).hover()
        page.get_by_role("button", name="Find similar images: blue.png").click()
        page.get_by_role("link", name="Compare").click()
        expect(page.locator(".column h3")).to_contain_text(["colour", "grey"])
        expect(page.locator("#agreement")).to_contain_text("found by both")
        expect(page.locator(".column .row")).to_have_count(20)
        expect(page.locator(".column").first.locator(".name").first).to_have_text("navy.png")
        expect(page).to_have_url(re.compile("view=compare.*id=named"))

    def test_compare_follows_an_image_by_keys(self, page: Page) -> None:
        page.goto(f"{page.url}?view=compare&text=white")
        expect(page.get_by_role("alert")).to_contain_text("grey")
        page.goto(f"{page.url.partition('?')[0]}?view=compare&id=named%2Fwhite.png")
        row = page.locator(".row").first
        row.focus()
        image = row.get_attribute("data-image")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        assert page.locator(":focus").get_attribute("data-image") == image
        page.keyboard.press("ArrowRight")
        assert page.locator(":focus").evaluate("row => row.closest('.column').ariaLabel") == "grey"

    def test_one_model_cannot_be_compared(self, open_page: OpenPage) -> None:
        from tests.serving.page.service import running

        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        with SearchEngine(FakeEmbedder(), *stores) as engine, running(engine) as service:
            engine.add(picture("a"), id="a")
            page = open_page(service.url, "?view=compare")
            expect(page.locator("#compare")).to_contain_text("onnxsearch index FOLDER -m")
            expect(page.locator("#results")).to_be_hidden()

    def test_compare_asks_for_an_image(self, page: Page) -> None:
        page.get_by_role("link", name="Compare").click()
        expect(page.locator("#heading")).to_contain_text("Choose an image")
        first(page).locator(".open").focus()
        page.keyboard.press("s")
        expect(page.locator(".column")).to_have_count(2)


class TestFilter:
    def fill(self, page: Page, text: str) -> None:
        page.get_by_role("button", name="Filter").click()
        page.get_by_label("Filter by metadata").fill(text)

    def test_valid(self, page: Page) -> None:
        self.fill(page, "warm == true")
        page.keyboard.press("Enter")
        expect(page.locator(".tile .open")).to_have_count(4)
        expect(page.get_by_role("status")).to_have_text("4 images")
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("status")).to_contain_text(f"of {ALL}")

    def test_invalid(self, page: Page) -> None:
        self.fill(page, "warm = true")
        page.keyboard.press("Enter")
        field = page.get_by_label("Filter by metadata")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#filter-error")).to_contain_text("expected ==")
        expect(field).to_have_value("warm = true")
        field.fill("warm == true")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator(".tile .open")).to_have_count(4)
        expect(field).to_have_attribute("aria-invalid", "false")

    def test_suggestions(self, page: Page) -> None:
        self.fill(page, "")
        page.keyboard.type("wa")
        expect(page.locator("#suggestions [role=option]")).to_have_text(["warmboolean"])
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#suggestions [role=option]").first).to_have_text("==")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Tab")
        expect(page.locator("#suggestions [role=option]")).to_have_text(["true", "false"])
        page.get_by_role("option", name="true", exact=True).click()
        expect(page.get_by_label("Filter by metadata")).to_have_value("warm == true ")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        expect(page.locator(".tile .open")).to_have_count(4)

    def test_nothing_matches(self, page: Page) -> None:
        self.fill(page, "name == 'none'")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Remove the filter").click()
        expect(page.locator(".tile .open").first).to_be_visible()

    def test_from_a_value_of_an_image(self, page: Page) -> None:
        first(page).locator(".open").click()
        page.get_by_role("button", name="Only images with this paint.maker").click()
        expect(page.locator(".tile .open")).to_have_count(len(NAMES))
        expect(page.get_by_label("Filter by metadata")).to_have_value('paint.maker == "Winsor"')


class TestDetails:
    def test_shows_the_image_and_its_metadata(self, page: Page) -> None:
        first(page).locator(".open").click()
        dialog = page.get_by_role("dialog", name="blue.png")
        expect(dialog.locator("#details-metadata")).to_contain_text("Winsor")
        expect(dialog.locator("#details-file")).to_contain_text("colour, grey")
        assert dialog.locator("#details-image").evaluate("image => image.decode().then(() => 1)")
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("dialog", name="crimson.png")).to_be_visible()
        expect(page.locator("#details-place")).to_have_text("2 of 48")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()

    def test_leads_to_similar_images(self, page: Page) -> None:
        first(page).locator(".open").click()
        link = page.get_by_role("link", name="Find similar")
        expect(link).to_have_attribute("href", "?id=named%2Fblue.png")
        link.click()
        finds(page, "navy.png")
        page.go_back()
        expect(page.locator("#heading")).to_have_text("All images")


class TestKeyboard:
    def test_all_by_keys(self, page: Page) -> None:
        page.keyboard.press("ArrowDown")
        assert page.locator(":focus").get_attribute("aria-label") == "blue.png"
        page.keyboard.press("ArrowRight")
        assert page.locator(":focus").get_attribute("aria-label") == "crimson.png"
        columns = page.locator("#grid").evaluate(
            "grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length"
        )
        page.keyboard.press("ArrowDown")
        place = page.locator(":focus").evaluate(
            "open => [...document.querySelectorAll('#grid .open')].indexOf(open)"
        )
        assert place == columns + 1
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        expect(page.locator("#details")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        finds(page, "navy.png")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("a")
        expect(page.locator("#heading")).to_have_text("Similar to 2 examples")
        page.keyboard.press("Escape")
        expect(page.locator("#heading")).to_have_text("All images")
        page.keyboard.press("/")
        page.keyboard.type("gold")
        page.keyboard.press("Enter")
        finds(page, "gold.png")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("3")
        expect(page.locator("#duplicates")).to_be_visible()
        page.keyboard.press("f")
        expect(page.locator("#filter")).to_be_hidden()

    def test_single_keys_can_be_switched_off(self, page: Page) -> None:
        page.keyboard.press("?")
        page.get_by_label("Single keys work anywhere").uncheck()
        page.keyboard.press("Escape")
        page.reload()
        expect(first(page)).to_be_visible()
        page.keyboard.press("3")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#duplicates")).to_be_hidden()


class TestDuplicates:
    def test_groups(self, page: Page) -> None:
        page.get_by_role("link", name="Duplicates").click()
        expect(page.locator(".group").first).to_be_visible()
        page.locator("#distance").evaluate(
            "slider => { slider.value = 0; slider.dispatchEvent(new Event('change')); }"
        )
        expect(page.locator("#groups")).to_contain_text("No duplicates")
        expect(page).to_have_url(re.compile("view=duplicates&distance=0"))

    def test_members_open(self, page: Page) -> None:
        page.goto(f"{page.url}?view=duplicates")
        page.locator(".group .open").first.click()
        expect(page.locator("#details")).to_be_visible()


class TestTheme:
    def background(self, page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    def test_follows_the_system(self, open_page: OpenPage, service: RunningService) -> None:
        light = self.background(open_page(service.url, color_scheme="light"))
        dark = self.background(open_page(service.url, color_scheme="dark"))
        assert light == "rgb(245, 244, 241)"
        assert dark == "rgb(15, 16, 18)"

    def test_switch_lasts(self, page: Page) -> None:
        page.get_by_role("button", name="Theme: as the system").click()
        page.get_by_role("button", name="Theme: light").click()
        assert self.background(page) == "rgb(15, 16, 18)"
        page.reload()
        expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert self.background(page) == "rgb(15, 16, 18)"


ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
QUOTES = "\"'><svg onload=\"document.title='owned'\"> javascript:alert(1)"


class TestHostileContent:
    @pytest.fixture
    def hostile(self, open_page: OpenPage, tmp_path: Path) -> object:
        from tests.serving.page.service import running

        folder = tmp_path / "<b onclick=alert(1)>"
        folder.mkdir()
        write_colour(folder / "<img src=x onerror=alert(1)>.png", "red")
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        with SearchEngine([ColourEmbedder(), ColourEmbedder("b")], *stores) as engine:
            metadata = {ATTACK: QUOTES, "`a": ATTACK, QUOTES: {ATTACK: [ATTACK]}}
            engine.index(folder, metadata=metadata)
            engine.add(picture("a"), id=ATTACK, metadata={QUOTES: ATTACK})
            engine.add(picture("b"), id=QUOTES, metadata={"__proto__": ATTACK, "constructor": 1})
            engine.add(picture("c"), id="../../etc/passwd\u202egnp.exe", metadata={"a": None})
            with running(engine) as service:
                yield open_page(service.url), service

    def test_is_shown_as_text(self, hostile: tuple[Page, RunningService]) -> None:
        page, service = hostile
        alerts: list[str] = []
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        for place in range(4):
            page.goto(service.url)
            page.locator(".tile .open").nth(place).click()
            expect(page.locator("#details-file")).not_to_be_empty()
            page.get_by_role("link", name="Find similar").click()
            expect(page.locator(".part")).to_be_visible()
            expect(page.locator(".tile .open").first).to_be_visible()
            for view in ("Compare", "Duplicates"):
                page.get_by_role("link", name=view).click()
                expect(page.locator("main .row, main #groups").first).to_be_attached()
                settle(page)
            assert page.locator("img[src=x], main svg[onload], main script").count() == 0
        assert alerts == []
        assert "owned" not in page.title()

    @pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")
    def test_names_that_are_not_unicode(self, open_page: OpenPage, tmp_path: Path) -> None:
        from tests.serving.page.service import running

        write_colour(tmp_path / os.fsdecode(b"\xff\xfe.png"), "blue")
        stores = InMemoryVectorStore(), InMemoryMetadataStore()
        with SearchEngine(ColourEmbedder(), *stores) as engine:
            engine.index(tmp_path, root=tmp_path)
            with running(engine) as service:
                page = open_page(service.url)
                expect(first(page).locator("img.loaded")).to_be_visible()
                first(page).locator(".open").click()
                expect(page.locator("#details-file")).to_contain_text("Size")

    def test_values_become_filters_that_match(self, hostile: tuple[Page, RunningService]) -> None:
        page, _ = hostile
        page.get_by_role("button", name="<img src=x onerror=alert(1)>.png", exact=True).click()
        page.locator("#details-metadata .icon-button").nth(1).click()
        expect(page.get_by_role("status")).to_have_text("1 image")
        expect(page.locator("#filter-error")).to_be_hidden()


class TestToken:
    TOKEN = "a-token-of-22-letters!"

    def test_is_asked_for_once(self, open_page: OpenPage, colours: SearchEngine, red: Path) -> None:
        from tests.serving.page.service import running

        with running(colours, token=self.TOKEN) as service:
            page = open_page(service.url)
            dialog = page.get_by_role("dialog", name="This service wants a token")
            dialog.get_by_label("Token").fill("wrong")
            page.keyboard.press("Enter")
            expect(dialog.get_by_text("did not accept")).to_be_visible()
            dialog.get_by_label("Token").fill(self.TOKEN)
            page.keyboard.press("Enter")
            expect(first(page).locator("img.loaded")).to_be_visible()
            page.get_by_label("Choose an image").set_input_files(red)
            finds(page, "red.png")
            first(page).locator(".open").click()
            image = page.locator("#details-image")
            expect(image).to_have_attribute("src", re.compile("^blob:"))
            expect(page.get_by_role("link", name="Open the file")).to_have_count(0)
            page.reload()
            expect(first(page)).to_be_visible()
            assert self.TOKEN not in page.url

    def test_may_be_refused(self, open_page: OpenPage, colours: SearchEngine) -> None:
        from tests.serving.page.service import running

        with running(colours, token=self.TOKEN) as service:
            page = open_page(service.url)
            page.get_by_role("button", name="Cancel").click()
            expect(page.get_by_role("alert")).to_contain_text("token")
            page.get_by_role("button", name="Try again").click()
            expect(page.get_by_role("dialog")).to_be_visible()


def test_a_server_that_is_gone_is_reported(open_page: OpenPage, colours: SearchEngine) -> None:
    from tests.serving.page.service import running

    with running(colours) as service:
        page = open_page(service.url)
        expect(first(page)).to_be_visible()
        service.stop()
        page.get_by_label("Search by words").fill("navy")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer")


VIEWS = {
    "all": "",
    "words": "?text=navy",
    "similar": "?id=named%2Fred.png&unlike=named%2Fblue.png&filter=warm%20%3D%3D%20true",
    "invalid": "?filter=warm%20%3D",
    "compare": "?view=compare&id=named%2Fred.png",
    "duplicates": "?view=duplicates",
    "no words": "?model=grey",
}


def settle(page: Page) -> None:
    """Wait until the page shows what its address says."""
    expect(page.locator("html.ready")).to_be_attached()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def check_accessibility(page: Page) -> None:
    """Fail if axe finds something serious, in either theme."""
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = Axe().run(page).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        lines = [
            f"{scheme}: {each['id']}: {node['html']} {node['failureSummary']}"
            for each in grave
            for node in each["nodes"][:3]
        ]
        assert lines == [], "\n".join(lines)


class TestEveryView:
    @pytest.mark.parametrize("view", VIEWS)
    def test_is_accessible_and_fits_the_screen(
        self, open_page: OpenPage, service: RunningService, view: str
    ) -> None:
        pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
        page = open_page(service.url, VIEWS[view])
        settle(page)
        check_accessibility(page)
        for width in (390, 820, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width

    def test_dialogs_are_accessible(self, page: Page) -> None:
        pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
        page.keyboard.press("?")
        check_accessibility(page)
        page.keyboard.press("Escape")
        page.goto(page.url + "?id=named/red.png")
        page.get_by_role("button", name="Search with a part of").click()
        expect(page.get_by_label("Left", exact=True)).to_be_enabled()
        check_accessibility(page)
        page.keyboard.press("Escape")
        first(page).locator(".open").click()
        expect(page.locator("#details-file")).to_contain_text("colour, grey")
        check_accessibility(page)
