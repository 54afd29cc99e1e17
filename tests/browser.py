"""The browser that shows pages in tests."""

from __future__ import annotations

import shutil

import pytest


def chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    return path
