"""The function that writes the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.build import build_report


@pytest.mark.parametrize("rows", [0, -1])
def test_rows_have_to_be_positive(rows: int, tmp_path: Path) -> None:
    with pytest.raises(DistEvalError, match=f"Received: rows={rows}"):
        build_report(tmp_path, tmp_path / "report.html", rows)


def test_no_run_is_an_error_and_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(DistEvalError, match="no W&B run"):
        build_report(tmp_path, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_report_needs_no_tensorflow() -> None:
    program = "import sys, disteval.report.build; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
