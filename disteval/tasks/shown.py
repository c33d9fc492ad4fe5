"""The tables of the samples that an evaluator shows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import wandb

from disteval.tables.cells import add_column, build_pred_table, plain_column


def truth_table(
    samples: Iterable[tuple[Any, Any]],
    chosen: np.ndarray,
    make_cells: Callable[[int, Any], dict[str, Any]],
) -> wandb.Table:
    """Returns the ground-truth table of some samples.

    Args:
        samples: `(x, y)` of all samples, in dataset order.
        chosen: The indices of the samples to show, in the order of the rows.
        make_cells: Returns the cells of a sample by column; it gets the index and x.
    """
    wanted = set(chosen.tolist())
    cells = {}
    for index, (x, _) in enumerate(itertools.islice(samples, int(chosen.max()) + 1)):
        if index in wanted:
            # Built during the pass, so that only one input is in memory.
            cells[index] = make_cells(index, x)
    table = wandb.Table(columns=[])
    rows = [cells[index] for index in chosen.tolist()]
    for name in rows[0]:
        add_column(table, name, plain_column([row[name] for row in rows]))
    return table


def panel_table(
    names: Sequence[str], data: wandb.Table, columns: Mapping[str, Sequence[Any]], epoch: int
) -> wandb.Table:
    """Returns the rows of a prediction table that a run's workspace shows.

    Args:
        names: All columns.
        data: The ground-truth table.
        columns: The columns that are not in the ground-truth table.
        epoch: The epoch.
    """
    table = build_pred_table(names, data, columns, number={"epoch": epoch}, by_row=False)
    table.data = table.data[: wandb.Table.MAX_ROWS]
    return table
