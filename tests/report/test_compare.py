"""The page that compares two runs, in headless Chromium, and the command that makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from disteval.report.compare import compare_runs, write_comparison
from report.browser import NEEDS_CHROMIUM
from report.running import log_run, offline_env
from report.test_evaluations import screenshot

NAMES = '["triangle", "square", "</dd><img src=x onerror=alert(1)>"]'


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that predict otherwise for the same 120 pictures."""
    folder = tmp_path_factory.mktemp("compared")
    options = ("--rows", 120, "--names", NAMES)
    return [
        log_run(folder, *options, "--epochs", epochs, "--seed", seed)
        for epochs, seed in ((2, 0), (4, 1))
    ]


@NEEDS_CHROMIUM
def test_page(browser: BrowserContext, runs: list[Path], tmp_path: Path) -> None:
    compared = compare_runs(*runs)
    counts = compared[2].counts
    assert sum(counts.values()) == 120
    assert counts["fixed"] > counts["broken"] > 0
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(write_comparison(*compared, tmp_path / "page.html").as_uri())
    tiles = page.locator(".tile b").all_inner_texts()
    assert tiles[:4] == [str(count) for count in counts.values()]
    assert tiles[4] == f"p = {compared[2].p_value:.3g}"
    for outcome in ("fixed", "broken"):
        cards = page.locator(f"section[aria-labelledby={outcome}] .sample")
        assert cards.count() == counts[outcome]
        assert cards.first.locator("img").count() == 1, "both runs show one picture"
        assert cards.first.locator("img").evaluate("i => i.naturalWidth") > 0
    names = page.locator("th[scope=row]").all_inner_texts()
    assert {"accuracy", "loss", "confidence", "f1", "precision", "recall"} <= set(names)
    assert said == []
    assert page.evaluate("window.hacked") is None
    screenshot(page, "compare")
    page.close()


def test_command(runs: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "disteval", "compare", *map(str, runs), "-o", "page.html"]
    env = offline_env(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "120 samples in both tables" in done.stdout
    assert "McNemar's exact test: p = " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("page.html (")
    missing = subprocess.run([*command[:4], str(tmp_path), *command[5:]], cwd=tmp_path, env=env,
                             capture_output=True, text=True)  # fmt: skip
    assert missing.returncode == 1
    assert missing.stderr.startswith("There is no W&B run in")
