"""The page in a real browser: its layout, its keys, and what it asks the network for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.browser import chromium
from tests.reporting.test_reports import compared

pytestmark = pytest.mark.integration

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
    # The browser's own errands go nowhere either.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

# A window is at least 500 pixels wide in some releases, a frame as narrow as a phone in all.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<script>
addEventListener("message", (event) => { document.body.dataset.seen = event.data; });
</script>
<iframe src="out.html" style="border:0;width:%dpx;height:1200px"></iframe>"""

# Put at the end of the page: what only the browser knows, told to the frame around it.
WATCH = """<script>
window.stopped = 0;
addEventListener("securitypolicyviolation", () => { window.stopped += 1; });
</script>
"""
PROBE = """<script>
const press = (key) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
const hits = [...document.querySelectorAll("li")];
hits[0].focus();
const seen = {
  inner: innerWidth, page: document.documentElement.scrollWidth, title: document.title,
  images: [...document.images].every((i) => i.src.startsWith("data:") && i.naturalWidth > 0),
  inside: hits.every((h) => [...h.children].every((c) => {
    const [a, b] = [h.getBoundingClientRect(), c.getBoundingClientRect()];
    return b.left >= a.left && b.right <= a.right + 1 && b.bottom <= a.bottom + 1;
  })),
  fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
  stopped: window.stopped,
  marked: document.querySelectorAll(".same").length,
};
press("ArrowDown");
seen.down = hits.indexOf(document.activeElement);
press("ArrowUp");
press("ArrowRight");
seen.followed = document.activeElement.dataset.image === hits[0].dataset.image;
parent.postMessage(JSON.stringify(seen), "*");
</script>
"""


def allowed(script: str) -> str:
    """Return the digest by which a policy knows a script."""
    inside = script.strip().removeprefix("<script>").removesuffix("</script>")
    digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_in_chromium(tmp_path: Path, width: int) -> None:
    program = chromium()
    comparison, _ = compared(tmp_path)
    page = comparison.to_html(tmp_path / "out.html")
    text = page.read_text("utf-8").replace("<style>", f"{WATCH}<style>", 1)
    # The page lets its own script run alone; the two of this test are allowed beside it.
    text = text.replace("script-src ", f"script-src {allowed(WATCH)} {allowed(PROBE)} ")
    page.write_text(text.replace("</body>", f"{PROBE}</body>"), "utf-8")
    screenshot = tmp_path / "page.png"
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME % width, "utf-8")

    def browse(*flags: str) -> str:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        window = f"--window-size={max(width, 600)},1200"
        command = [program, *FLAGS, profile, window, *flags, frame.as_uri()]
        result = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
        return result.stdout

    dom = browse("--virtual-time-budget=2000", "--dump-dom")
    (found,) = re.findall(r'data-seen="([^"]*)"', dom)
    seen = json.loads(found.replace("&quot;", '"'))
    assert seen["inner"] == width
    assert seen["page"] <= width, "the page is wider than the screen"
    assert seen["title"] == "3 models compared", "a file name ran as a script"
    assert seen["images"]
    assert seen["inside"], "something sticks out of its card"
    assert seen["marked"] >= 2
    assert seen["down"] == 1
    assert seen["followed"]

    # Whatever a page fetches is listed here; what the policy had to stop is not, but told.
    assert seen["fetched"] == []
    assert seen["stopped"] == 0

    browse(f"--screenshot={screenshot}")
    with Image.open(screenshot) as image:
        shown = image.convert("RGB").crop((0, 0, width, 1200))
    colours = shown.getcolors(maxcolors=1 << 22)
    assert colours is not None
    assert len(colours) > 500
