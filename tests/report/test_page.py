"""The report page in headless Chromium: what people do with it, and what data cannot do to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from disteval.report.build import build_report
from disteval.report.read import StoredVersion, read_run
from report.browser import NEEDS_CHROMIUM, choose, count, shown
from report.running import TOP, TRAIN, log_run

SCREENSHOTS = TOP / "artifacts/report"
HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "--> \" ' & </title>",
    '<img src="http://127.0.0.1/x" onerror="window.hacked = 1">',
]
PAGE_SIZE = 60
# Sets a field as a person does, and returns the milliseconds until the page is laid out again.
CHANGE = """([id, value]) => {
    const field = document.getElementById(id);
    const start = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("change", {bubbles: true}));
    document.body.getBoundingClientRect();
    return performance.now() - start;
}"""

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def shapes(
    shapes_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[StoredVersion]]:
    """A page of shapes in three epochs, and the tables that it shows."""
    path = build_report(shapes_run, tmp_path_factory.mktemp("page") / "report.html")
    return path, read_run(shapes_run).versions


def rows_where(
    version: StoredVersion, wanted: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    names = list(version.columns)
    rows = [
        dict(zip(names, cells, strict=True))
        for cells in zip(*version.columns.values(), strict=True)
    ]
    return [row for row in rows if wanted(row)]


def is_wrong(row: dict[str, Any]) -> bool:
    return row["label"] != row["prediction"]


def test_filter_by_class_and_result(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page, (*_, last) = show(shapes[0]), shapes[1]
    assert count(page) == 200
    choose(page, "truth", "square")
    expected = rows_where(last, lambda row: row["label"] == "square")
    assert count(page) == len(expected)
    assert shown(page) == [row["index"] for row in expected][:PAGE_SIZE]
    assert set(page.locator(".sample dd").all_inner_texts()) == {"square"}
    choose(page, "show", "wrong")
    expected = rows_where(last, lambda row: row["label"] == "square" and is_wrong(row))
    assert shown(page) == [row["index"] for row in expected]
    assert page.locator(".sample .mark.wrong").count() == len(expected) > 0
    assert page.locator(".sample .mark.right").count() == 0
    page.click("#reset")
    choose(page, "show", "correct")
    assert count(page) == 200 - len(rows_where(last, is_wrong))
    choose(page, "predicted", "hexagon")
    expected = rows_where(last, lambda row: row["label"] == row["prediction"] == "hexagon")
    assert count(page) == len(expected)


def test_sort_and_turn_pages(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page, (*_, last) = show(shapes[0]), shapes[1]
    for column in ("confidence", "loss"):
        choose(page, "sort", column)
        for order, sign in (("lowest", 1), ("highest", -1)):
            choose(page, "order", order)
            rows = rows_where(last, lambda row: True)
            rows.sort(key=lambda row: (sign * float(f"{row[column]:.5g}"), row["index"]))
            assert shown(page) == [row["index"] for row in rows][:PAGE_SIZE]
            page.click("#next")
            assert shown(page) == [row["index"] for row in rows][PAGE_SIZE : 2 * PAGE_SIZE]
            page.click("#previous")
    assert page.is_disabled("#previous")
    for _ in range(3):
        page.click("#next")
    assert page.is_disabled("#next")
    assert len(shown(page)) == 200 - 3 * PAGE_SIZE


def test_compare_two_epochs(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page, (first, _, last) = show(shapes[0]), shapes[1]
    choose(page, "second", "Epoch 0")
    assert page.locator("#matrices figure").count() == 2
    card = page.locator(".sample").first
    assert card.locator("img").count() == 1, "the two versions show one picture"
    names = card.locator(".prediction small").all_inner_texts()
    assert names == ["Epoch 2", "Epoch 0"]
    predictions = card.locator(".prediction .cut").all_inner_texts()
    assert predictions == [last.columns["prediction"][0], first.columns["prediction"][0]]

    wrong_before, wrong_now = (
        {row["index"] for row in rows_where(version, is_wrong)} for version in (first, last)
    )
    choose(page, "show", "right only in Epoch 2")
    assert shown(page) == sorted(wrong_before - wrong_now)[:PAGE_SIZE]
    choose(page, "show", "right only in Epoch 0")
    assert shown(page) == sorted(wrong_now - wrong_before)[:PAGE_SIZE]
    choose(page, "show", "all")
    choose(page, "sort", "change of loss")
    changes = [
        there - here
        for here, there in zip(last.columns["loss"], first.columns["loss"], strict=True)
    ]
    assert shown(page)[0] == changes.index(min(changes))
    choose(page, "second", "none")
    assert page.locator("#matrices figure").count() == 1
    assert page.locator("#sort option").all_inner_texts() == ["row", "confidence", "loss"]


def test_confusion_matrix_leads_to_its_samples(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page, (first, *_) = show(shapes[0]), shapes[1]
    choose(page, "first", "Epoch 0")
    cells = page.locator(".matrix td button")
    assert sum(map(int, cells.all_inner_texts())) == 200
    cell = page.locator('.matrix button[title^="square, predicted as hexagon"]')
    assert cell.count() == 0, "the next class is the only wrong prediction"
    cell = page.locator('.matrix button[title^="square, predicted as pentagon"]')
    number = int(cell.inner_text())
    cell.click()
    expected = rows_where(
        first, lambda row: (row["label"], row["prediction"]) == ("square", "pentagon")
    )
    assert count(page) == number == len(expected)
    assert shown(page) == [row["index"] for row in expected][:PAGE_SIZE]


def test_charts_choose_a_version(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page = show(shapes[0])
    titles = page.locator("#charts h3").all_inner_texts()
    assert titles == ["correct in the table", "loss", "accuracy", "samples per sec"]
    loss = page.locator("#charts figure").nth(1)
    assert loss.locator(".legend").all_inner_texts() == ["loss 0.3333", "val loss 0.4"]
    loss.locator("svg").click(position={"x": 50, "y": 40})
    assert page.locator("#first option:checked").inner_text() == "Epoch 0"
    assert loss.locator(".legend").all_inner_texts() == ["loss 1", "val loss 1.2"]


def test_details_tell_all_epochs(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    page, versions = show(shapes[0]), shapes[1]
    page.locator(".sample button.pictures").nth(3).click()
    dialog = page.locator("#details")
    assert dialog.locator("h2").inner_text() == "Sample 3"
    rows = dialog.locator("tr").all_inner_texts()
    assert len(rows) == 4
    for version, row in zip(versions, rows[1:], strict=True):
        assert version.columns["prediction"][3] in row
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_columns_of_the_users_own_are_on_the_cards(
    show: Callable[[Path], Page], tmp_path: Path
) -> None:
    notes = ["by Ada", HOSTILE[0], ""]
    run = log_run(tmp_path, "--rows", 9, "--notes", json.dumps(notes), "--reference", "row")
    page = show(build_report(run, tmp_path / "report.html"))
    cards = page.locator(".sample")
    shown_notes = [
        dict(zip(card.locator("dt").all_text_contents(), card.locator("dd").all_text_contents(),
                 strict=True)).get("note")
        for card in cards.all()
    ]  # fmt: skip
    assert shown_notes == ["by Ada", HOSTILE[0], None] * 3, "an empty cell takes no line"
    cards.nth(1).locator("button.pictures").click()
    assert HOSTILE[0] in page.locator("#details dd").all_text_contents()
    assert page.evaluate("window.hacked") is None


def test_one_version_is_marked_as_the_best(
    show: Callable[[Path], Page], shapes: tuple[Path, list[StoredVersion]]
) -> None:
    options = show(shapes[0]).locator("#first option").all_inner_texts()
    assert options == ["Epoch 0", "Epoch 1", "Epoch 2 (best)"]


def test_hostile_names_stay_text(show: Callable[[Path], Page], tmp_path: Path) -> None:
    run = log_run(tmp_path, "--names", json.dumps(HOSTILE))
    page = show(build_report(run, tmp_path / "report.html"))
    choose(page, "second", "Epoch 0")
    page.locator(".sample button.pictures").first.click()
    options = page.locator("#truth option").all_inner_texts()
    assert [option.rpartition(" (")[0] for option in options[1:]] == sorted(HOSTILE)
    assert set(page.locator(".sample dd").all_text_contents()) == set(HOSTILE)
    heads = page.locator('.matrix th[scope="row"]').all_text_contents()
    assert heads == sorted(HOSTILE) * 2
    heads = page.locator('#class-table th[scope="row"]').all_text_contents()
    assert set(heads) == set(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 2
    assert page.locator('img:not([src^="data:"])').count() == 0


@pytest.mark.timeout(900)
def test_ten_thousand_rows(show: Callable[[Path], Page], tmp_path: Path) -> None:
    run = log_run(tmp_path, "--rows", 10_000, "--epochs", 2, "--size", 56, "--reference", "row")
    path = build_report(run, tmp_path / "report.html")
    assert path.stat().st_size < 15e6
    page = show(path)
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert loaded < 10_000
    for field, value in (
        ("truth", "1"),
        ("show", "wrong"),
        ("sort", '["confidence",false]'),
        ("truth", ""),
        ("show", "all"),
        ("second", "0"),
        ("sort", '["loss",true]'),
    ):
        assert page.evaluate(CHANGE, [field, value]) < 1000, field
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
    assert count(page) == 10_000
    assert len(shown(page)) == PAGE_SIZE


def test_screenshots_of_the_example(show: Callable[[Path], Page], tmp_path: Path) -> None:
    run = log_run(tmp_path, "--epochs=3", "--backend=single", script=TRAIN)
    page = show(build_report(run, tmp_path / "report.html"))
    choose(page, "second", "Epoch 0")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name, width in (("desktop", 1200), ("phone", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        backgrounds = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, "a phone would scroll sideways"
            style = "getComputedStyle(document.body).backgroundColor"
            backgrounds.append(page.evaluate(style))
            page.screenshot(path=SCREENSHOTS / f"{name}-{scheme}.png", full_page=True)
        light, dark = (brightness(color) for color in backgrounds)
        assert light > 200 > 50 > dark


def brightness(color: str) -> float:
    parts = color.removeprefix("rgb(").removesuffix(")").split(",")
    return math.fsum(map(float, parts)) / 3
