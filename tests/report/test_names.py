"""Columns, metrics and runs whose names mean something to JavaScript, or to the order of text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from disteval.report.page import render
from disteval.report.read import Run, StoredVersion
from report.browser import NEEDS_CHROMIUM, choose, shown

pytestmark = NEEDS_CHROMIUM
# Names of what all objects have, and one that looks like a choice of the page.
NAMES = ["constructor", "valueOf", "__proto__", "hasOwnProperty", "change rate"]
OVERRIDE = "\u202egnp.exe"


def version(epoch: int, names: list[str]) -> StoredVersion:
    columns = {"index": [0, 1, 2], "label": ["a", "b", "a"], "prediction": ["a", "a", "a"]}
    columns |= {name: [0.3, 0.1, 0.2] for name in names}
    logs = dict.fromkeys(names, 0.5)
    return StoredVersion([], {"epoch": epoch, "step": epoch, "logs": logs}, columns, {})


def test_names(show: Callable[[Path], Page], tmp_path: Path) -> None:
    versions = [version(0, []), version(1, NAMES), version(2, NAMES[:2])]
    run = Run(Path("run"), "id", OVERRIDE, OVERRIDE, None, versions)
    path = tmp_path / "page.html"
    path.write_text(render(run, 10), encoding="utf-8")
    page = show(path)
    assert page.title() == f"\u2068{OVERRIDE}\u2069 · predictions"
    assert page.locator("header p bdi").first.inner_text() == OVERRIDE
    choose(page, "first", "Epoch 1")
    choose(page, "second", "Epoch 2")
    for name in NAMES:
        page.select_option("#sort", json.dumps([name, False], separators=(",", ":")))
        assert shown(page) == [1, 2, 0], name
    choose(page, "sort", "change of constructor")
    page.click("[aria-label='Details of sample 1']")
    assert page.locator("dialog[open]").count() == 1
    assert "NaN" not in page.inner_text("body")
    assert "[object" not in page.inner_text("body")
    drawn = page.locator("svg path").evaluate_all("p => p.map(e => e.getAttribute('d'))")
    assert not [path for path in drawn if "NaN" in path]
