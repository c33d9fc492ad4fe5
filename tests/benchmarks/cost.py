"""Fits how time and memory grow with the number of samples, from figures of `scripts/cost.py`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Returns the exponent e of the best fit of y = c * x**e; 1 means linear growth."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return covariance / sum((x - mean_x) ** 2 for x, _ in logs)


def fits(figures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns figures of the growth of time and memory, for each measured number of ranks."""
    by_ranks: dict[int, list[dict[str, Any]]] = {}
    for figure in figures:
        if figure["section"] == "cost":
            point = figure["details"] | {"ms": figure["value"]}
            by_ranks.setdefault(point["ranks"], []).append(point)
    fitted = []
    for ranks, points in sorted(by_ranks.items()):
        # The two largest sizes only: at smaller ones, constant cost hides the growth.
        largest = points[-2:]
        growth = exponent([(point["samples"], point["ms"]) for point in largest])
        last = points[-1]
        held = last["megabytes"]
        values = {
            "time grows with samples to the power of": growth,
            "chief's peak / its predictions": last["grown"][0] / held,
        }
        if ranks > 1:
            values["largest peak of another rank / its shard"] = (
                max(last["grown"][1:]) / held * ranks
            )
        fitted += [
            {"section": "cost", "case": f"{last['samples']:,} samples, {ranks} ranks",
             "what": what, "value": value, "details": {}}
            for what, value in values.items()
        ]  # fmt: skip
    return fitted
