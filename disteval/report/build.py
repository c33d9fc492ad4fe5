"""The function that writes the page of a run."""

from __future__ import annotations

from pathlib import Path

from disteval.arguments import check_positive
from disteval.report.page import render
from disteval.report.parts import find_run
from disteval.report.read import read_run

# W&B shows as many rows in a run's workspace.
MAX_ROWS = 10_000


def build_report(
    directory: str | Path = "wandb", output: str | Path = "report.html", rows: int = MAX_ROWS
) -> Path:
    """Writes a page with the predictions that a run logged, for a browser to open.

    The run has to be offline, or its `DistEvalCallback` has to have `keep_local=True`. Columns are
    recognised by their values and names; see `disteval.report.columns`.

    Args:
        directory: The run's directory, or one above it for the newest run there.
        output: The HTML file.
        rows: How many rows of each version to show at most.

    Returns:
        The path of the page.

    Raises:
        DistEvalError: There is no such run, it has no predictions, `rows` is not positive, or
            Jinja2 is missing.
    """
    check_positive("rows", rows)
    page = render(read_run(find_run(Path(directory))), rows)
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
