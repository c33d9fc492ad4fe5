"""Texts on the page: what an output lacks of its reference, and what it has instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from disteval.report.columns import MAX_COMPARED
from disteval.report.page import render
from disteval.report.read import Run, StoredVersion
from report.browser import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM
LONG = "word " * 1000
# Reference, output, and what the page shows: [-only in the reference-], {+not in it+}.
TEXTS = [
    ("the cat sat on the mat", "the cat sat on the mat", "the cat sat on the mat"),
    ("the cat sat on the mat", "the dog sat on a mat",
     "the [-cat-]{+dog+} sat on [-the-]{+a+} mat"),
    ("the cat sat on the mat", "the cat sat", "the cat sat[- on the mat-]"),
    ("abcd", "abxd", "ab[-c-]{+x+}d"),
    ("", "a new one", "{+a new one+}"),
    ("<b>bold</b> text of the user", "<i>bold</i> text of the user",
     "[-<b>bold</b>-]{+<i>bold</i>+} text of the user"),
    ("日本の首都", "日本の首都", "日本の首都"),
]  # fmt: skip


def version(epoch: int, references: list[str], outputs: list[str]) -> StoredVersion:
    columns = {
        "index": list(range(len(outputs))), "prompt": ["?"] * len(outputs),
        "reference": references, "output": outputs, "score": [50.0] * len(outputs),
        "exact_match": [a == b for a, b in zip(references, outputs, strict=True)],
    }  # fmt: skip
    return StoredVersion([], {"epoch": epoch, "step": epoch}, columns, {})


@pytest.fixture
def page(show: Callable[[Path], Page], tmp_path: Path) -> Page:
    references, outputs, _ = map(list, zip(*TEXTS, strict=True))
    references, outputs = [*references, LONG], [*outputs, LONG[5:]]
    versions = [version(epoch, references, outputs) for epoch in range(2)]
    path = tmp_path / "page.html"
    path.write_text(render(Run(Path("run"), "id", "run", "texts", None, versions), 10), "utf-8")
    return show(path)


# What a person sees of an output, with its marks as text.
SEEN = """cells => cells.map(cell => [...cell.childNodes].map(node => {
    const [start, end] = {DEL: ["[-", "-]"], INS: ["{+", "+}"]}[node.nodeName] ?? ["", ""];
    return start + node.textContent + end;
}).join(""))"""


def test_differences_are_marked(page: Page) -> None:
    seen = page.locator(".sample .prediction .cut").evaluate_all(SEEN)
    assert seen[: len(TEXTS)] == [shown for *_, shown in TEXTS]
    marks = page.locator(".sample .mark").evaluate_all("m => m.map(e => e.ariaLabel)")
    assert marks[: len(TEXTS)] == ["correct" if a == b else "wrong" for a, b, _ in TEXTS]
    titles = page.locator(".sample del").evaluate_all("d => [...new Set(d.map(e => e.title))]")
    assert titles == ["in the reference only"]


def test_a_long_text_is_cut_and_compared(page: Page) -> None:
    seen = page.locator(".sample .prediction .cut").evaluate_all(SEEN)[len(TEXTS)]
    assert MAX_COMPARED - 20 < len(seen) < MAX_COMPARED + 60
    assert page.locator("dt", has_text="Reference").count() == len(TEXTS) + 1


def test_details_have_the_reference_and_all_versions(page: Page) -> None:
    page.click("[aria-label='Details of sample 1']")
    dialog = page.locator("dialog[open]")
    assert TEXTS[1][0] in dialog.inner_text()
    assert [text for text in dialog.locator("td").evaluate_all(SEEN) if "{+" in text] == [
        TEXTS[1][2], TEXTS[1][2],
    ]  # fmt: skip
