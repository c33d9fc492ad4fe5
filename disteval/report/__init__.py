"""A page to look at a run's predictions, without an account and without a network.

`read` finds the versions that a run left on this machine, `columns` recognises what is in them,
`pictures` makes thumbnails, and `page` puts all into one HTML file with the script that shows it.
"""

from pathlib import Path

from disteval.errors import DistEvalError
from disteval.report.page import render
from disteval.report.read import find_run, read_run

__all__ = ["MAX_ROWS", "build_report"]

# As many as W&B shows in a run's workspace.
MAX_ROWS = 10_000


def build_report(
    directory: str | Path = "wandb", output: str | Path = "report.html", rows: int = MAX_ROWS
) -> Path:
    """Writes a page with the predictions that a run logged, for a browser to open.

    The run was offline, or its `DistEvalCallback` had `keep_local=True`. Columns are recognised by
    what they hold and how they are named; see `disteval.report.columns`.

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
    if rows < 1:
        raise DistEvalError(f"Received: rows={rows}. Expected: a positive integer.")
    page = render(read_run(find_run(Path(directory))), rows)
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path
