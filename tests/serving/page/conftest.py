"""The page in headless Chromium, over an index of plain colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onnxsearch import InMemoryMetadataStore, InMemoryVectorStore, SearchEngine
from tests.browser import PATIENCE, launched
from tests.serving.page.colours import (
    NAMES,
    ColourEmbedder,
    GreyEmbedder,
    is_warm,
    write_colour,
    write_shades,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.serving.page.service import RunningService

SHADES = 70

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")
    with launched("127.0.0.1") as browser:
        yield browser


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchEngine]:
    """Ten colours and many shades, under a model that knows words and one that does not."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "named").mkdir()
    for name in NAMES:
        write_colour(folder / "named" / f"{name}.png", name)
    write_shades(folder, SHADES)
    models = [ColourEmbedder(), GreyEmbedder()]
    with SearchEngine(models, InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.index(
            folder,
            root=folder,
            metadata=lambda path: {
                "name": path.stem,
                "warm": is_warm(path.stem),
                "paint": {"maker": "Winsor" if path.parent.name == "named" else "none"},
            },
        )
        yield engine


@pytest.fixture(scope="module")
def service(browser: Browser, colours: SearchEngine) -> Iterator[RunningService]:
    """Serve the colours."""
    del browser  # which skips the test where something is missing
    from tests.serving.page.service import running

    with running(colours) as service:
        yield service


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """Return an image that is nearly red, and not in the index."""
    return write_colour(tmp_path / "my-red.png", "rgb(250,5,5)")


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    """Return an image that is nearly blue, and not in the index."""
    return write_colour(tmp_path / "my-blue.png", "rgb(5,5,250)")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open the page of a service, and watch it: no request elsewhere, no script that fails."""
    contexts = []
    foreign: list[str] = []
    defects: list[str] = []

    def start(url: str, path: str = "", *, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, reduced_motion="reduce", **options
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: defects.append(str(error)))
        page.on("console", lambda line: note(line.type, line.text))
        origin = "/".join(url.split("/")[:3]) + "/"
        page.on("request", lambda request: check(request.url, origin))
        page.goto(url + path)
        return page

    def check(asked: str, origin: str) -> None:
        if not asked.startswith((origin, f"blob:{origin}")):
            foreign.append(asked)

    def note(kind: str, text: str) -> None:
        # Chromium reports every status above 399 itself.
        if kind == "error" and not text.startswith("Failed to load resource"):
            defects.append(text)

    yield start
    for context in contexts:
        context.close()
    assert foreign == []
    assert defects == []


@pytest.fixture
def page(open_page: OpenPage, service: RunningService) -> Page:
    """Open the page, and wait until it shows all images."""
    page = open_page(service.url)
    page.locator(".tile .open").first.wait_for()
    return page
