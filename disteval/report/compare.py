"""The function that compares two runs, and writes a page of the samples that differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from disteval.errors import DistEvalError
from disteval.optional import require
from disteval.report import columns as roles
from disteval.report.comparison import OUTCOMES, Comparison, compare
from disteval.report.html import HERE, render_page
from disteval.report.parts import find_run
from disteval.report.pictures import Pictures
from disteval.report.read import Run, StoredVersion, read_run

# Samples of an outcome on the page.
MAX_SAMPLES = 200
DIFFERENT = ("fixed", "broken")


@dataclasses.dataclass
class Side:
    """One of the two runs.

    Args:
        run: The run.
        version: Its version that is compared.
    """

    run: Run
    version: StoredVersion

    def __post_init__(self) -> None:
        self.roles = roles.recognise(self.version.columns)

    def text(self, role: str, row: int) -> str:
        """Returns the cell of a row in the column with a role; empty if there is none."""
        if role not in self.roles:
            return ""
        value = roles.encode([self.version.columns[self.roles[role]][row]])["values"][0]
        return "" if value is None else str(value)

    @property
    def title(self) -> str:
        """The run and the version, for a person."""
        best = ", best" if "best" in self.version.aliases else ""
        epoch = self.version.metadata.get("epoch")
        return f"{self.run.name or self.run.id or self.run.directory.name} (epoch {epoch}{best})"


def compare_runs(
    first: str | Path, second: str | Path, name: str | None = None
) -> tuple[Side, Side, Comparison]:
    """Compares the predictions of two runs, whose directories `report` could show.

    The best versions are compared if both runs have one, as with `monitor`, else the newest.

    Args:
        first: The directory of a run.
        second: That of another run.
        name: The name of the set of validation data; `None` for that without a name.

    Returns:
        The two runs, and the comparison.

    Raises:
        DistEvalError: A run cannot be read, or they are not of the same data.
    """
    require("scipy", "The comparison", "report")
    runs = [read_run(find_run(Path(directory))) for directory in (first, second)]
    found = [_of_set(run, name) for run in runs]
    best = [[v for v in versions if "best" in v.aliases] for versions in found]
    chosen = [each[-1] for each in (best if all(best) else found)]
    one, other = (Side(run, version) for run, version in zip(runs, chosen, strict=True))
    return one, other, compare(one.version, other.version)


def describe(first: Side, second: Side, comparison: Comparison) -> str:
    """Returns the comparison as text."""
    lines = [f"A: {first.title}", f"B: {second.title}", _size(first, comparison)]
    if comparison.counts:
        counts = ", ".join(f"{count} {name}" for name, count in comparison.counts.items())
        lines.append(f"{counts}; McNemar's exact test: p = {comparison.p_value:.4g}")
    width = max((len(each.name) for each in comparison.differences), default=0)
    lines.append(f"{'':{width}}  {'A':>10} {'B':>10} {'B - A':>10}  95 % interval")
    for each in comparison.differences:
        ends = "" if each.interval is None else "{:.4g} to {:.4g}".format(*each.interval)
        change = each.second - each.first
        numbers = f"{each.first:10.4g} {each.second:10.4g} {change:10.4g}"
        lines.append(f"{each.name:{width}}  {numbers}  {ends}".rstrip())
    return "\n".join(lines)


def to_json(first: Side, second: Side, comparison: Comparison) -> dict[str, Any]:
    """Returns the comparison as JSON can hold it."""
    return {
        "runs": [side.title for side in (first, second)],
        "samples": len(comparison.rows),
        "outcomes": comparison.counts,
        "p_value": comparison.p_value,
        "metrics": {each.name: each._asdict() for each in comparison.differences},
    }


def write_comparison(first: Side, second: Side, comparison: Comparison, output: str | Path) -> Path:
    """Writes a page of the comparison, with the samples that differ.

    Raises:
        DistEvalError: Jinja2 is missing.
    """
    shown = _different(comparison)
    pictures = Pictures(2 * sum(len(rows) for rows in shown.values()))
    groups = {
        outcome: [_card((first, second), pair, pictures) for pair in rows.tolist()]
        for outcome, rows in shown.items()
    }
    page = render_page(
        "compare.html",
        style=(HERE / "page.css").read_text(),
        first=first,
        second=second,
        size=_size(first, comparison),
        comparison=comparison,
        groups=groups,
    )
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _of_set(run: Run, name: str | None) -> list[StoredVersion]:
    versions = [version for version in run.versions if version.names.name == name]
    if not versions:
        known = sorted({version.names.name or "" for version in run.versions})
        raise DistEvalError(
            f"The run in {run.directory} has no such set of data. Received: name={name!r}. "
            f"Expected: one of {', '.join(map(repr, known))}, where '' is that without a name."
        )
    return versions


def _size(side: Side, comparison: Comparison) -> str:
    evaluated = side.version.metadata.get("samples", 0)
    part = f" of {evaluated:,} that were evaluated" if evaluated > len(comparison.rows) else ""
    return f"{len(comparison.rows):,} samples in both tables{part}"


def _different(comparison: Comparison) -> dict[str, np.ndarray]:
    """Returns the rows of the samples that differ, by outcome."""
    if comparison.outcomes is None:
        return {}
    found = {name: comparison.outcomes == OUTCOMES.index(name) for name in DIFFERENT}
    return {name: comparison.rows[chosen][:MAX_SAMPLES] for name, chosen in found.items()}


def _card(sides: tuple[Side, Side], rows: tuple[int, int], pictures: Pictures) -> dict[str, Any]:
    """Returns what the page shows of a sample, which is in a row of each table."""
    numbers: list[int] = []
    said = []
    for side, row in zip(sides, rows, strict=True):
        if "picture" in side.roles:
            cell = side.version.columns[side.roles["picture"]][row]
            numbers += pictures.add(cell, side.version.files)
        said.append(" ".join(side.text(role, row) for role in ("prediction", "confidence")))
    found = [pictures.found[number][:2] for number in dict.fromkeys(numbers)]
    return {
        "key": sides[0].text("key", rows[0]) or rows[0],
        "pictures": [(caption, uri) for caption, uri in found if uri],
        "truth": sides[0].text("truth", rows[0]),
        "said": said,
    }
