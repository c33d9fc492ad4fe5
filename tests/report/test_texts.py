"""Texts on the page: what became right and wrong, a score that is no share, and whole outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from disteval.report.page import render
from disteval.report.read import Run, StoredVersion
from disteval.tables.history import History, Outcome
from disteval.tasks.texts import packed, unpacked
from report.browser import NEEDS_CHROMIUM, choose, shown

pytestmark = NEEDS_CHROMIUM
LONG = "a long text of many words " * 30
REFERENCES = ["right", "soon right", "no longer right", "never right", LONG, LONG, LONG]
SAID = [
    ["right", "wrong", "no longer right ", "wrong", LONG, LONG[:-9], LONG[:-9]],
    ["right", "soon right", "no more", "wrong again", "short", LONG, LONG[:-9]],
]
FIXED, BROKEN = [1, 5], [2, 4]


@pytest.fixture
def page(show: Callable[[Path], Page], tmp_path: Path) -> Page:
    history, versions = History(""), []
    for epoch, outputs in enumerate(SAID):
        correct = np.array(
            [a.strip() == b.strip() for a, b in zip(outputs, REFERENCES, strict=True)]
        )
        scores = np.where(correct, 100.0, 0.5)
        outcome = Outcome(packed(outputs), correct, scores / 100)
        changes = history.add(1 - scores / 100, outcome)
        columns = {
            "index": list(range(len(outputs))), "reference": REFERENCES, "output": outputs,
            "score": scores.tolist(), "exact_match": correct.tolist(),
        }  # fmt: skip
        added = changes.of_samples(np.arange(len(outputs)), unpacked)
        columns |= {name: np.asarray(cells, object).tolist() for name, cells in added.items()}
        versions.append(StoredVersion([], {"epoch": epoch, "step": epoch}, columns, {}))
    assert changes.counts == {"fixed": len(FIXED), "broken": len(BROKEN)}
    path = tmp_path / "page.html"
    path.write_text(render(Run(Path("run"), "id", "run", "texts", None, versions), 10), "utf-8")
    return show(path)


def test_what_became_right_and_wrong(page: Page) -> None:
    for name, expected in (("fixed", FIXED), ("broken", BROKEN)):
        choose(page, "show", name)
        assert shown(page) == expected


def test_a_score_is_no_share(page: Page) -> None:
    assert page.locator(".sample .bar").count() == 0
    page.click("[aria-label='Details of sample 1']")
    assert page.locator("dialog h3").all_inner_texts() == ["Score"]


def test_an_output_has_several_lines(page: Page) -> None:
    heights = page.locator(".sample .compared").evaluate_all("c => c.map(e => e.clientHeight)")
    assert heights[5] > 4 * heights[0]
