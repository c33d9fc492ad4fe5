"""The report page of a run with several sets of validation data shows one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from disteval.report.build import build_report
from disteval.report.read import read_run
from multiproc.running import SCRIPTS
from report.browser import NEEDS_CHROMIUM, count
from report.running import log_run, offline_env

HOSTILE = "<script>alert(1)</script> 🌙"
ONE_DEVICE = {"DISTEVAL_TEST_BACKEND": "single", "DISTEVAL_TEST_REPLICAS": "1"}


@NEEDS_CHROMIUM
def test_page(show: Callable[[Path], Page], tmp_path: Path) -> None:
    env = offline_env(tmp_path) | ONE_DEVICE
    directory = log_run(tmp_path, "sets", script=SCRIPTS / "log_sets.py", env=env)
    versions = read_run(directory).versions
    by_set = {
        name: [v for v in versions if v.names.name == name] for name in (None, "night", HOSTILE)
    }
    assert [len(found) for found in by_set.values()] == [2, 2, 4]
    for found in by_set.values():
        assert [v.scalars["eval/samples_per_sec"] > 0 for v in found] == [True] * len(found)
        assert not any("night" in name for v in found for name in v.scalars)
        assert ["latest" in v.aliases for v in found] == [False] * (len(found) - 1) + [True]
    assert all("eval/f1" in v.scalars for v in by_set["night"])

    page = show(build_report(directory, tmp_path / "report.html"))
    options = page.locator("#set option").all_inner_texts()
    assert set(options) == {"without a name", "night", HOSTILE}
    shown = {}
    for name in options:
        page.select_option("#set", label=name)
        shown[name] = count(page), page.locator("#first option").count()
    assert shown == {"without a name": (30, 2), "night": (25, 2), HOSTILE: (7, 4)}
