"""Plots the figures: inference, scaling, gather, and cost over the number of samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

Figures = Sequence[dict[str, Any]]


def plot(figures: Figures, path: Path, machine: dict[str, Any]) -> None:
    """Writes the plot as PNG."""
    figure, axes = pyplot.subplots(2, 2, figsize=(12, 9), layout="constrained")
    _seconds(axes[0, 0], figures, "inference", "Inference on one device (seconds)")
    _scaling(axes[0, 1], figures)
    _seconds(axes[1, 0], figures, "gather", "Gather to the chief, 2 Horovod ranks (seconds)")
    _cost(axes[1, 1], figures)
    figure.suptitle(f"disteval on {machine['cpu']}, {machine['cores']} cores", fontsize=10)
    pyplot.savefig(path, dpi=100)
    pyplot.close(figure)


def _of(figures: Figures, section: str) -> Figures:
    return [figure for figure in figures if figure["section"] == section]


def _seconds(axis: Any, figures: Figures, section: str, title: str) -> None:
    """Draws the median seconds of each contender, in groups by case."""
    cases = {
        figure["case"]: figure["details"]["seconds"]
        for figure in _of(figures, section)
        if "seconds" in figure["details"]
    }
    names = list(dict.fromkeys(name for seconds in cases.values() for name in seconds))
    for i, name in enumerate(names):
        rows = [(j, seconds[name]) for j, seconds in enumerate(cases.values()) if name in seconds]
        height = 0.8 / len(names)
        axis.barh([j + i * height for j, _ in rows], [s for _, s in rows], height, label=name)
    axis.set(title=title, xscale="log")
    axis.set_yticks([j + 0.4 for j in range(len(cases))], list(cases), fontsize=8)
    axis.invert_yaxis()
    if names:
        axis.legend(fontsize=7)


def _scaling(axis: Any, figures: Figures) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for figure in _of(figures, "scaling"):
        if figure["what"] == "speed-up over 1" and "replicas" in figure["details"]:
            kind = figure["case"].rpartition(" ")[0].rpartition(" ")[2]
            lines.setdefault(kind, []).append((figure["details"]["replicas"], figure["value"]))
    axis.plot([1, 8], [1, 8], color="gray", linestyle=":", label="ideal")
    for kind, points in lines.items():
        axis.plot(*zip(*points, strict=True), marker="o", label=kind)
    axis.set(title="Speed-up, simulated device time", xlabel="replicas")
    axis.legend(fontsize=7)


def _cost(axis: Any, figures: Figures) -> None:
    lines: dict[int, list[tuple[int, float]]] = {}
    for figure in _of(figures, "cost"):
        if figure["what"] == "ms":
            details = figure["details"]
            lines.setdefault(details["ranks"], []).append((details["samples"], figure["value"]))
    for ranks, points in lines.items():
        axis.plot(*zip(*points, strict=True), marker="o", label=f"{ranks} ranks")
    axis.set(title="An evaluation (ms)", xlabel="samples", xscale="log", yscale="log")
    if lines:
        axis.legend(fontsize=7)
