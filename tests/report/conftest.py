"""A run that several modules look at, and fixtures that show a page in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from report.browser import CHROMIUM, SWITCHES
from report.running import log_run


@pytest.fixture(scope="session")
def shapes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an offline run of 200 shapes in three epochs."""
    return log_run(tmp_path_factory.mktemp("shapes"), "--rows", 200)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")), executable_path=CHROMIUM, args=SWITCHES
        )
        context.set_offline(True)
        yield context
        context.close()


@pytest.fixture
def show(browser: BrowserContext) -> Iterator[Callable[[Path], Page]]:
    """Shows a page; at the end nothing may have been said on the console, or fetched."""
    page = browser.new_page()
    said: list[str] = []
    fetched: list[str] = []

    def note(message: ConsoleMessage) -> None:
        said.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))

    def open_page(path: Path) -> Page:
        page.goto(path.as_uri())
        page.wait_for_selector(".sample")
        return page

    yield open_page
    page.close()
    assert said == []
    assert [url for url in fetched[1:] if not url.startswith("data:")] == []
