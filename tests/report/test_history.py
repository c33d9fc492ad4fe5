"""The page of a run with slices and a history: what is shown equals what the tables hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from disteval.report.build import build_report
from disteval.report.read import StoredVersion, read_run
from disteval.report.transactions import read_artifacts
from disteval.tables.history import COLUMNS
from report.browser import NEEDS_CHROMIUM, choose, count, shown
from report.running import HERE, log_run
from report.test_evaluations import HOSTILE, screenshot

pytestmark = NEEDS_CHROMIUM
Made = tuple[Path, list[StoredVersion]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = tmp_path_factory.mktemp("history")
    run = log_run(directory, "history", script=HERE / "make_evaluations.py")
    return build_report(run, directory / "history.html"), read_run(run).versions


def column(version: StoredVersion, name: str) -> np.ndarray:
    return np.array(version.columns[name], object)


def test_filters_of_the_history(show: Callable[[Path], Page], made: Made) -> None:
    path, versions = made
    page = show(path)
    assert count(page) == 300
    last, before = versions[-1], versions[-2]
    right, was = column(last, "correct"), column(before, "correct")
    assert (right & ~was).any()
    choose(page, "show", "fixed")
    assert count(page) == (right & ~was).sum() == last.scalars["eval/fixed"]
    choose(page, "show", "broken")
    assert count(page) == (~right & was).sum() == last.scalars["eval/broken"]
    choose(page, "show", "forgotten")
    assert count(page) == (column(last, "times_forgotten") > 0).sum() > 0
    choose(page, "show", "suspect")
    suspect = column(last, "suspect").astype(bool)
    assert count(page) == suspect.sum() > 0
    assert set(shown(page)) <= set(column(last, "index")[suspect].tolist())
    choose(page, "first", "Epoch 0")
    choose(page, "show", "fixed")
    assert count(page) == 0, "nothing came before"


def test_wandb_can_sort_and_group_by_the_columns(made: Made) -> None:
    """Numbers, bools and text, each missing at most where there was no version before."""
    run = next(made[0].parent.glob("wandb/offline-run-*"))
    newest = [artifact for artifact in read_artifacts(run) if artifact.name.endswith("_pred")][-1]
    path = next(p for p in newest.files if p.endswith(".table.json") and "/" not in p)
    types = json.loads(newest.files[path].read_text())["column_types"]["params"]["type_map"]
    found = {name: types[name]["wb_type"] for name in (*COLUMNS, HOSTILE)}
    numbers = ("times_forgotten", "mean_confidence", "variability", "loss_change")
    expected = dict.fromkeys(numbers, "number") | dict.fromkeys(("changed", "suspect"), "boolean")
    assert found == expected | {"previous": "string", HOSTILE: "string"}


def test_slices_worst_first(show: Callable[[Path], Page], made: Made) -> None:
    path, (*_, last) = made
    page = show(path)
    assert page.locator("#slice-charts h3").all_inner_texts() == [HOSTILE, "high"]
    choose(page, "metric", "accuracy")
    rows = page.locator("#slice-charts figure").first.locator("tr")
    values = rows.locator("th").all_inner_texts()
    known = column(last, HOSTILE)
    right = column(last, "correct").astype(bool)
    accuracy = {value: right[known == value].mean() for value in values}
    assert values == sorted(accuracy, key=accuracy.__getitem__)
    numbers = rows.locator("td.number").all_inner_texts()[::2]
    assert [float(n.split()[0]) for n in numbers] == pytest.approx(
        sorted(accuracy.values()), abs=1e-3
    )
    assert all("\N{EN DASH}" in number for number in numbers), "the interval"
    few = rows.filter(has_text="few samples").locator("th").all_inner_texts()
    assert few == ["rare"]
    choose(page, "metric", "loss")
    losses = column(last, "loss").astype(float)
    worst = max(values, key=lambda value: losses[known == value].mean())
    assert rows.locator("th").first.inner_text() == worst, "the highest loss first"
    rows.locator("button", has_text="bright").click()
    assert count(page) == (known == "bright").sum()
    choose(page, "slice", "high = True")
    assert count(page) == (column(last, "high") == "True").sum()
    titles = page.locator("#class-table tr").first.inner_text().split()
    assert titles == ["precision", "recall", "f1"], "slices are no classes"
    assert not [t for t in page.locator("h3").all_inner_texts() if "high=" in t]
    page.click("#reset")
    assert count(page) == 300
    assert page.evaluate("window.hacked") is None


def test_the_data_map_filters(show: Callable[[Path], Page], made: Made) -> None:
    path, (*_, last) = made
    page = show(path)
    screenshot(page, "history")
    page.locator("#map svg").scroll_into_view_if_needed()
    box = page.locator("#map svg").bounding_box()
    assert box is not None
    top, middle = box["y"] + 1, box["y"] + box["height"] * (10 + 0.5 * 348) / 380
    page.mouse.move(box["x"] + 1, top)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    page.mouse.up()
    confident = column(last, "mean_confidence").astype(float) > 0.5
    assert abs(count(page) - confident.sum()) <= 3, "the upper half; a pixel may hold a few points"
    assert 0 < count(page) < 300
    page.mouse.click(box["x"] + box["width"] / 2, middle)
    assert count(page) == 300, "a click shows all"


def test_points_are_drawn(show: Callable[[Path], Page], made: Made) -> None:
    page = show(made[0])
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector("#map canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.some((value) => value > 0);
        }"""
    )


def test_the_timeline_of_a_sample(show: Callable[[Path], Page], made: Made) -> None:
    path, versions = made
    page = show(path)
    choose(page, "show", "forgotten")
    sample = shown(page)[0]
    page.click(f"[aria-label='Details of sample {sample}']")
    titles = page.locator("dialog .timeline circle title").all_text_contents()
    expected = [f"Epoch {i}: {v.columns['prediction'][sample]}" for i, v in enumerate(versions)]
    assert titles == expected
    kinds = page.locator("dialog .timeline circle").evaluate_all("c => c.map(e => e.classList[1])")
    assert kinds == ["right" if v.columns["correct"][sample] else "wrong" for v in versions]
    screenshot(page, "timeline")
