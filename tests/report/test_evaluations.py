"""The page of runs of the ready-made evaluators, in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from disteval.report.build import build_report
from disteval.report.read import StoredVersion, read_run
from report.browser import NEEDS_CHROMIUM, choose, count, shown
from report.running import HERE, log_runs

pytestmark = NEEDS_CHROMIUM
NAMES = ["worst", "several", "notes", "masks", "boxes"]
# As in `make_evaluations.py`.
HOSTILE = '</dd><img src="http://127.0.0.1/x" onerror="window.hacked = 1">'
SCREENSHOTS = HERE.parents[1] / "artifacts/report"
Made = tuple[Path, list[StoredVersion]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """For each evaluator a page, and the tables that it shows."""
    directory = tmp_path_factory.mktemp("evaluations")
    runs = log_runs(directory, *NAMES, script=HERE / "make_evaluations.py")
    by_name = {run.name.rpartition("-")[2]: run for run in runs}
    return {
        name: (build_report(run, directory / f"{name}.html"), read_run(run).versions)
        for name, run in by_name.items()
    }


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_worst_rows_and_what_is_of_all_samples(
    show: Callable[[Path], Page], made: dict[str, Made]
) -> None:
    path, (first, last) = made["worst"]
    page = show(path)
    assert count(page) == 30
    assert shown(page) == last.columns["index"] != first.columns["index"]
    assert page.inner_text("#part").startswith("The table holds 30 of the 300 samples")
    cells = page.locator(".matrix td button").all_inner_texts()
    assert sum(map(int, cells)) == 300, "all samples, not those of the table only"
    right = page.locator(".matrix td.right button").all_inner_texts()
    accuracy = last.scalars["eval/accuracy"]
    assert sum(map(int, right)) == round(300 * accuracy)
    assert page.locator("#charts h3").all_inner_texts()[:2] == ["loss", "accuracy"]
    rows = page.locator("#class-table tr").all_inner_texts()
    assert rows[0].split() == ["precision", "recall", "f1"]
    assert len(rows) == 11
    assert float(rows[4].split()[3]) == pytest.approx(last.scalars["eval/recall/digit 3"], abs=1e-4)
    page.click("#more-title")
    titles = page.locator("#more-charts h3").all_inner_texts()
    assert titles[0] == "ece"
    assert titles[-1] == "seconds"
    assert not any("table" in title for title in titles), "what W&B says of its files is no metric"
    choose(page, "second", "Epoch 0")
    missing = page.get_by_text("Epoch 0: not in the table").count()
    assert missing == len(set(last.columns["index"]) - set(first.columns["index"]))
    screenshot(page, "worst")


def test_several_classes(show: Callable[[Path], Page], made: dict[str, Made]) -> None:
    path, (*_, last) = made["several"]
    page = show(path)
    for field, column in (("truth", "label"), ("predicted", "prediction")):
        # A class that occurs: which classes the model predicts depends on the machine.
        chosen = next(names[-1] for names in last.columns[column] if names)
        choose(page, field, chosen)
        cells = zip(last.columns["index"], last.columns[column], strict=True)
        expected = [index for index, names in cells if chosen in names]
        assert count(page) == len(expected) > 0
        assert shown(page) == expected[:60]
        page.click("#reset")
    choose(page, "show", "correct")
    assert count(page) == sum(last.columns["correct"])
    assert page.is_hidden("#confusion")


def lines(place: Locator) -> dict[str, list[str]]:
    """Returns what a card or the details list by name."""
    found: dict[str, list[str]] = {}
    names, texts = (place.locator(tag).all_text_contents() for tag in ("dt", "dd"))
    for name, text in zip(names, texts, strict=True):
        found.setdefault(name, []).append(text)
    return found


def test_columns_of_ones_own(show: Callable[[Path], Page], made: dict[str, Made]) -> None:
    path, (*_, last) = made["notes"]
    page = show(path)
    zero, three, four = (
        page.locator(".sample").nth(last.columns["label"].index(f"digit {digit}"))
        for digit in (0, 3, 4)
    )
    # What describes the sample comes first, and text before numbers; an empty cell takes no line.
    own = {"author": ["Ada"], "constructor": ["a"], HOSTILE: ["b"]}
    odd, even = own | {"verified": ["True"]}, own | {"verified": ["False"], "pages": ["40"]}
    comments = [f"{HOSTILE} in epoch {epoch}" for epoch in (1, 0)]
    assert lines(three) == {**odd, "Truth": ["digit 3"], "comment": comments[:1]}
    assert three.locator(".more").count() == 0
    assert lines(four) == {**even, "Truth": ["digit 4"]}
    assert lines(zero)["author"] == [HOSTILE]
    four.get_by_role("button", name="1 more").click()
    details = lines(page.locator("#details"))
    assert {**even, "comment": comments[:1]}.items() <= details.items()
    page.keyboard.press("Escape")
    # What two versions say alike is there once.
    choose(page, "second", "Epoch 0")
    assert lines(three) == {**odd, "Truth": ["digit 3"], "comment": comments}
    assert page.evaluate("window.hacked") is None
    assert page.locator('img:not([src^="data:"])').count() == 0
    screenshot(page, "notes")


def test_classes_in_boxes(show: Callable[[Path], Page], made: dict[str, Made]) -> None:
    path, (*_, last) = made["boxes"]
    page = show(path)
    assert page.locator("#legend .legend").all_inner_texts() == [f"digit {i}" for i in range(10)]
    assert page.locator(".sample").first.locator("img").count() == 2
    for field, overlay in (("truth", "ground_truth"), ("predicted", "predictions")):
        choose(page, field, "digit 4")
        expected = [
            index
            for index, image in zip(last.columns["index"], last.columns["image"], strict=True)
            if any(box["class_id"] == 4 for box in image["boxes"][overlay])
        ]
        assert shown(page) == expected != []
        page.click("#reset")
    choose(page, "sort", "true positives")
    choose(page, "order", "highest")
    most = shown(page)[0]
    assert last.columns["true_positives"][most] == max(last.columns["true_positives"])
    assert "true positives" in page.locator(".sample").first.inner_text()
    screenshot(page, "boxes")


def test_classes_in_masks(show: Callable[[Path], Page], made: dict[str, Made]) -> None:
    path, (*_, last) = made["masks"]
    page = show(path)
    names = page.locator("#legend .legend").all_inner_texts()
    assert names == [*(f"digit {i}" for i in range(10)), "ignored"]
    choose(page, "truth", "digit 7")
    ious = dict(zip(last.columns["index"], last.columns["iou/digit 7"], strict=True))
    assert shown(page)
    assert all(ious[index] is not None for index in shown(page)), "the class is there"
    choose(page, "second", "Epoch 0")
    card = page.locator(".sample").first
    assert card.locator("img").count() == 2, "the model has not changed, so neither have its masks"
    card.locator("button.pictures").click()
    assert "digit 7" in page.locator("#details .legend").all_inner_texts()
    page.keyboard.press("Escape")
    screenshot(page, "masks")
