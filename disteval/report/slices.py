"""The metrics of slices, which a version's metadata holds, for the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from disteval.report import columns
from disteval.report.read import StoredVersion
from disteval.tables.best import grows
from disteval.tables.sets import slug


def encode_slices(version: StoredVersion) -> list[dict[str, Any]]:
    """Returns the metrics of each value of each slice.

    Returns:
        For each value of a slice its `slice`, `value`, the number of `samples`, and its `metrics`:
        by name `[value, low, high, whether the higher is the better]`. The ends of the interval
        are `null` for a metric that has none.
    """
    encoded = []
    for known in _known(version):
        metrics = {}
        for name, numbers in known["metrics"].items():
            if all(columns.is_number(n) and math.isfinite(n) for n in numbers):
                rounded: list[Any] = [float(f"{number:.6g}") for number in numbers]
                metrics[name] = [*rounded, *[None] * (3 - len(rounded)), grows(name)]
        # As in the column, which is cut, too.
        value = columns.encode([known["value"]])["values"][0]
        encoded.append({**known, "value": value, "metrics": metrics})
    return encoded


def slice_names(version: StoredVersion) -> set[str]:
    """Returns the names under which the run has the metrics of slices."""
    return {
        f"eval/{metric}/{slug(known['slice'])}={slug(known['value'])}{end}"
        for known in _known(version)
        for metric in known["metrics"]
        for end in ("", "/low", "/high")
    }


def _known(version: StoredVersion) -> Iterator[dict[str, Any]]:
    yield from version.metadata.get("slices", [])
