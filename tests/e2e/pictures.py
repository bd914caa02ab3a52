"""Pictures of a page in its present state for docs/, in both languages; `make screenshots` makes them anew."""

from __future__ import annotations

import os

from playwright.sync_api import Locator, Page, expect

from tests.e2e.server import ROOT

WIDTH, HEIGHT = 1_000, 1_000
MARGIN = 8
SETTLED_MS = 600
"""What a bar takes to grow."""
MAX_BYTES = 250_000
"""Of each picture: every clone has all that there ever were."""
NAMES = {"zh": "{}.zh.png", "en": "{}.png"}


def picture(page: Page, name: str, first: Locator | None = None, again: Locator | None = None) -> None:
    """Of the whole page, or from an element on; the page is in Chinese before and afterwards.

    `again`: the button that shows the answers in the new language.
    """
    if not os.environ.get("WANNENG_SCREENSHOTS"):
        return
    for language, file in NAMES.items():
        expect(page.locator("html")).to_have_attribute("lang", language)
        if again is not None and language != "zh":
            again.click()
            page.wait_for_load_state("networkidle")
        page.wait_for_timeout(SETTLED_MS)
        path = ROOT / "docs" / file.format(name)
        if first is None:
            page.screenshot(path=path, full_page=True)
        else:
            box = first.bounding_box()
            assert box is not None
            top = page.evaluate("scrollY") + box["y"] - MARGIN
            clip = {"x": 0, "y": top, "width": WIDTH, "height": HEIGHT}
            page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]
        assert path.stat().st_size < MAX_BYTES
        page.locator("#language").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh")
