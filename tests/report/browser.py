"""Headless Chromium, and what is read and done on a report page in it."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium"
)


def shown(page: Page) -> list[int]:
    """Returns the samples that are on the page, in order."""
    labels = page.locator(".sample button.pictures").evaluate_all(
        "buttons => buttons.map(button => button.getAttribute('aria-label'))"
    )
    return [int(label.removeprefix("Details of sample ")) for label in labels]


def count(page: Page) -> int:
    return int(page.inner_text("#count").split(" of ")[0].replace(",", ""))


def choose(page: Page, field: str, text: str) -> None:
    """Chooses the option that starts with a text."""
    options = page.locator(f"#{field} option").all_inner_texts()
    page.select_option(f"#{field}", index=[o.startswith(text) for o in options].index(True))
