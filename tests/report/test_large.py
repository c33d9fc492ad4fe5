"""A page of 100,000 samples stays usable: it takes at most as many times as long as of 10,000."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext, Page

from disteval.report.page import render
from disteval.report.read import Run, StoredVersion
from disteval.tables.history import History, Outcome
from report.browser import NEEDS_CHROMIUM, count

pytestmark = NEEDS_CHROMIUM
SMALL, LARGE = 10_000, 100_000
# Times of the large page, as multiples of the small one's: ten times, and noise.
MOST = 15
# The page measures itself: a change of a filter until it is drawn.
FILTER = """async (value) => {
  const show = document.getElementById("show");
  const started = performance.now();
  show.value = value;
  show.dispatchEvent(new Event("change"));
  await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
  return performance.now() - started;
}"""
# When the first samples are painted, in milliseconds since the page was opened.
WATCH = """
  const look = () => {
    if (!document.querySelector(".sample")) requestAnimationFrame(look);
    else requestAnimationFrame(() => setTimeout(() => { window.painted = performance.now(); }));
  };
  look();
"""


def made_run(samples: int) -> Run:
    random = np.random.default_rng(0)
    truth = random.integers(0, 10, samples)
    history, versions = History(""), []
    for epoch in range(3):
        right = random.random(samples) < 0.5 + 0.15 * epoch
        predicted = np.where(right, truth, (truth + 1) % 10)
        confidence = random.random(samples)
        outcome = Outcome(predicted, right, confidence, random.random(samples) < 0.01)
        loss = -np.log(confidence)
        changes = history.add(loss, outcome)
        columns: dict[str, Any] = {
            "index": range(samples), "label": truth, "prediction": predicted,
            "confidence": confidence, "correct": right, "loss": loss,
        }  # fmt: skip
        columns |= changes.of_samples(np.arange(samples), np.ndarray.tolist)
        plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
        metadata = {"epoch": epoch, "step": epoch, "samples": samples}
        versions.append(StoredVersion([f"epoch_{epoch}"], metadata, plain, {}))
    return Run(Path("run"), "large", "large", "large", None, versions)


def measure(page: Page, path: Path, samples: int) -> dict[str, float]:
    """Returns milliseconds until the page is painted, and until a filter is."""
    path.write_text(render(made_run(samples), samples), encoding="utf-8")
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    page.wait_for_function("window.painted")
    painted = page.evaluate("window.painted")
    assert count(page) == samples
    filters = [page.evaluate(FILTER, value) for value in ("fixed", "wrong", "suspect", "forgotten")]
    assert 0 < count(page) < samples
    return {"paint": painted, "filter": sorted(filters)[len(filters) // 2]}


def test_a_large_page_takes_as_long_as_its_samples(browser: BrowserContext, tmp_path: Path) -> None:
    small = measure(browser.new_page(), tmp_path / "small.html", SMALL)
    large = measure(browser.new_page(), tmp_path / "large.html", LARGE)
    print(small, large)
    for what in small:
        assert large[what] < MOST * max(small[what], 1), (what, small, large)
