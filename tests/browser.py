"""The browser that shows pages in tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 20_000
"""Milliseconds to wait for what has to appear: the machine may be busy."""


def chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return path


@contextmanager
def launched(*hosts: str) -> Iterator[Browser]:
    """Start Chromium, or skip the test; whatever a page asks for, names lead to `hosts` only.

    Playwright runs an event loop in this thread until it ends, so that tests of another module
    could run none.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    api.expect.set_options(timeout=PATIENCE)
    rules = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in hosts)])
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[f"--host-resolver-rules={rules}"]
        )
        yield browser
        browser.close()


def watched(page: Page) -> tuple[list[str], list[str]]:
    """Return lists that get what goes wrong in a page, and what it asks for outside itself."""
    page.set_default_timeout(PATIENCE)
    mistakes: list[str] = []
    asked: list[str] = []

    def note(url: str) -> None:
        # Thumbnails and exports are in the page.
        if not url.startswith(("data:", "blob:")):
            asked.append(url)

    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", lambda message: mistakes.append(message.text))
    page.on("request", lambda request: note(request.url))
    return mistakes, asked
