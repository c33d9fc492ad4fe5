"""The tables of the samples that an evaluator shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import wandb

from disteval.tasks.shown import panel_table, truth_table


def test_rows_are_in_the_given_order_and_no_more_is_read() -> None:
    read = []

    def samples() -> Iterator[tuple[float, int]]:
        for index in range(10):
            read.append(index)
            yield index / 2, index

    table = truth_table(samples(), np.array([4, 1]), lambda index, x: {"index": index, "x": x})
    assert table.columns == ["index", "x"]
    assert table.data == [[4, 2.0], [1, 0.5]]
    assert read == [0, 1, 2, 3, 4]


def test_the_panel_has_no_more_rows_than_wandb_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb.Table, "MAX_ROWS", 2)
    data = wandb.Table(["index"], [[0], [1], [2]])
    table = panel_table(["epoch", "index", "score"], data, {"score": [0.1, 0.2, 0.3]}, 7)
    assert table.data == [[7, 0, 0.1], [7, 1, 0.2]]
