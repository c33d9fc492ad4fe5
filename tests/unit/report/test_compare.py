"""Two runs on this machine: which versions are compared, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.compare import compare_runs, describe, to_json, write_comparison
from unit.report.offline import log_part

FIRST, SECOND = "20260102_030405", "20260103_030405"


@pytest.fixture
def runs(folder: Path) -> list[Path]:
    """Two runs with a score for each of two samples; in both, epoch 1 is the best."""
    one, _ = log_part(FIRST, {0: [0.1, 0.2], 1: [0.5, 0.5]}, run_id="one")
    other, _ = log_part(SECOND, {0: [0.3, 0.2], 1: [1.0, 0.5]}, run_id="other")
    return [one, other]


def test_text_and_json(runs: list[Path]) -> None:
    compared = compare_runs(*runs)
    text = describe(*compared)
    assert "A: " in text
    assert "(epoch 1, best)" in text
    assert "2 samples in both tables" in text
    (line,) = (line for line in text.splitlines() if line.startswith("score "))
    assert line.split()[:4] == ["score", "0.5", "0.75", "0.25"]
    known = json.loads(json.dumps(to_json(*compared), allow_nan=False))
    assert known["samples"] == 2
    assert known["metrics"]["score"]["second"] == 0.75
    assert known["outcomes"] == {}


def test_a_page_without_outcomes(runs: list[Path], tmp_path: Path) -> None:
    page = write_comparison(*compare_runs(*runs), tmp_path / "new" / "page.html").read_text()
    assert '<h2 id="metrics-title">' in page
    assert "outcomes-title" not in page


def test_other_data(folder: Path) -> None:
    one, _ = log_part(FIRST, {0: [0.1, 0.2]}, run_id="one")
    other, _ = log_part(SECOND, {0: [0.1, 0.2]}, run_id="other", labels=["cat", "cow"])
    with pytest.raises(DistEvalError, match=r"other data.*sample 1, 'dog' .*'cow' in the second"):
        compare_runs(one, other)


def test_a_set_that_there_is_not(runs: list[Path]) -> None:
    with pytest.raises(DistEvalError, match=r"Received: name='night'\. Expected: one of ''"):
        compare_runs(*runs, name="night")
