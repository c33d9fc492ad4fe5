"""The table of all figures, with the bounds that they should meet."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PREDICT, BY_HAND = "model.predict / ours", "ours / loop by hand"
ONE_PASS = "one pass / predictions only"
IN_FIT = "fit's validation and predictions / one pass"
# Section, case ("" is any case) and meaning of a figure, then its bound.
BOUNDS: list[tuple[str, str, str, str, float]] = [
    ("inference", "small CNN, batch 32", PREDICT, ">=", 4),
    ("inference", "small CNN, batch 256", PREDICT, ">=", 2.5),
    ("inference", "MobileNetV2 96x96, batch 32", PREDICT, ">=", 1),
    ("inference", "MobileNetV2 96x96, batch 256", PREDICT, ">=", 1),
    ("inference", "small CNN, batch 32", "one by one / ours", ">=", 200),
    ("inference", "", BY_HAND, "<=", 1.15),
    ("scaling", "simulated device, 8 Horovod ranks", "speed-up over 1", ">=", 7.8),
    ("scaling", "simulated device, 8 Mirrored replicas", "speed-up over 1", ">=", 7.8),
    ("scaling", "", "speed-up / that of two processes apart", ">=", 0.95),
    ("input", "", "sharded: speed-up / ranks", ">=", 0.95),
    ("input", "", "evaluation / the longer of both", "<=", 1.1),
    ("input", "", "CPU seconds of all ranks, sharded / plain", "<=", 0.6),
    ("gather", "200 MB dense", "ours / bare alltoall", "<=", 1.2),
    ("gather", "200 MB dense", "allgather_object / ours", ">=", 50),
    ("gather", "200 MB dense", "chief's peak / the gathered array", "<=", 1.2),
    ("check", "", "check of weights / evaluation", "<=", 0.05),
    ("logging", "10,000 rows, references by media", "training thread held up, ms", "<=", 50),
    ("logging", "10,000 rows, references by row", "training thread held up, ms", "<=", 50),
    ("epoch end", "2,000 images", "tutorial / ours", ">=", 20),
    ("validation", "loss and accuracy, one device", ONE_PASS, "<=", 1.15),
    ("validation", "loss and accuracy, 2 Horovod ranks", ONE_PASS, "<=", 1.15),
    ("validation", "loss and 5 metrics, one device", ONE_PASS, "<=", 1.4),
    ("validation", "loss and 5 metrics, 2 Horovod ranks", ONE_PASS, "<=", 1.4),
    ("validation", "", "model.evaluate / ours", ">=", 3),
    ("validation", "loss and accuracy, 2 Horovod ranks", IN_FIT, ">=", 6),
    ("validation", "loss and 5 metrics, 2 Horovod ranks", IN_FIT, ">=", 6),
    ("validation", "", IN_FIT, ">=", 2),
]
HEADER = ("section", "case", "what", "value", "bound", "")


def bound_of(figure: dict[str, Any]) -> tuple[str, float] | None:
    """Returns `>=` or `<=` and the bound of a figure, or `None` if it has no bound."""
    for section, case, what, sign, bound in BOUNDS:
        same = section == figure["section"] and what == figure["what"]
        if same and case in ("", figure["case"]):
            return sign, bound
    return None


def is_met(value: float, sign: str, bound: float) -> bool:
    """Whether a value meets its bound."""
    return value >= bound if sign == ">=" else value <= bound


def table(figures: Iterable[dict[str, Any]]) -> str:
    """Returns all figures as a Markdown table, which marks each missed bound."""
    rows = [HEADER]
    for figure in figures:
        bound = bound_of(figure)
        verdict = "" if bound is None else "met" if is_met(figure["value"], *bound) else "MISSED"
        rows.append((
            figure["section"], figure["case"], figure["what"], rounded(figure["value"]),
            "" if bound is None else f"{bound[0]} {bound[1]:g}", verdict,
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def rounded(value: float) -> str:
    """Returns a value with at least three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Returns facts about this machine and its software, by name."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    packages = ("tensorflow", "keras", "horovod", "wandb", "numpy")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "date": datetime.date.today().isoformat(),
        "load at the start": os.getloadavg()[0],
    }
