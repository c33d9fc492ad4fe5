"""The metrics of checkpoints on the terminal: a table, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


class Output:
    """Prints a row for each checkpoint as soon as it is evaluated.

    Args:
        as_json: Whether a row is a JSON object on a line of its own; else, it is one of a table.
        width: The width of the column of names.
    """

    def __init__(self, *, as_json: bool, width: int) -> None:
        self._as_json = as_json
        self._width = max(width, len("checkpoint"))
        self._columns: list[str] = []

    def add(self, checkpoint: str, version: str, metrics: Mapping[str, Any]) -> None:
        """Prints the metrics of a checkpoint.

        Args:
            checkpoint: Its path.
            version: The alias of its version, such as epoch_3.
            metrics: Numbers, or arrays.
        """
        if self._as_json:
            values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
            row = {"checkpoint": checkpoint, "version": version, "metrics": values}
            _print(json.dumps(row))
            return
        # Those of single classes and slices have names like eval/f1/cat, and are too many.
        shown = {name: value for name, value in metrics.items() if name.count("/") < 2}
        numbers = {name: float(value) for name, value in shown.items() if np.ndim(value) == 0}
        if list(numbers) != self._columns:
            self._columns = list(numbers)
            self._print_row("checkpoint", self._columns)
        self._print_row(checkpoint, [f"{value:.6g}" for value in numbers.values()])

    def _print_row(self, name: str, cells: list[str]) -> None:
        widths = [max(len(column), 11) for column in self._columns]
        row = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        _print("  ".join([name.ljust(self._width), *row]).rstrip())


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # a watcher runs for long
