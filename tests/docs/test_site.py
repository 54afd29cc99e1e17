"""The documentation as a site: links that lead somewhere, a search that finds, no other host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser import chromium

pytestmark = pytest.mark.integration


class Page(HTMLParser):
    """The links of a page, and the anchors that links may name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        for name, text in attrs:
            if name in ("href", "src") and text:
                self.links.add(text)
            if name == "id" and text:
                self.anchors.add(text)


@pytest.fixture(scope="module")
def site() -> Path:
    folder = os.environ.get("ONNXSEARCH_TEST_SITE")
    if folder is None:
        pytest.skip("`nox -s docs` builds the site and runs this test")
    return Path(folder).resolve()


def test_no_link_within_the_site_is_dead(site: Path) -> None:
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    dead = []
    # Sphinx links its copies of the source back by one module name for each file, which is wrong
    # where a file's names are public in two modules.
    written = {path: page for path, page in pages.items() if "_modules" not in path.parts}
    for path, page in written.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / unquote(parts.path) if parts.path else path
            target = Path(os.path.normpath(target))
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (
                target in pages and parts.fragment and unquote(parts.fragment) not in anchors
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert len(written) > 20
    assert not dead, "\n".join(dead)


def test_llms_txt_lists_every_page(site: Path) -> None:
    listed = (site / "llms.txt").read_text("utf-8")
    sources = site / "_sources"
    pages = [path.relative_to(site).as_posix() for path in sources.rglob("*.md.txt")]
    assert [page for page in pages if f"(/{page})" not in listed] == []


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_search_of_the_site_finds_a_page_without_another_host(address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    program = chromium()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        requested: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/index.html")
        page.fill(".sidebar-search", "search_many")
        page.press(".sidebar-search", "Enter")
        page.wait_for_selector("ul.search li a")
        found = page.locator("ul.search li a").all_inner_texts()
        browser.close()
    assert any("First steps" in title for title in found), found
    assert errors == []
    assert [url for url in requested if not url.startswith((address, "data:"))] == []
