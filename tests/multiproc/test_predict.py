"""Sharded predictions equal serial ones, on each backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiproc.running import Launch, check, processes

LAUNCHES: list[Launch] = [
    ("mirrored", 4),
    ("horovod", 3),
]


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_predictions_are_those_of_model_predict(launch: Launch) -> None:
    output = check("predict_exactly.py", launch=launch)
    assert output.count("all equal") == processes(launch)


def test_slow_ranks_evaluate_less() -> None:
    assert check("predict_unevenly.py", launch=("horovod", 2)).count("balanced") == 2


@pytest.mark.parametrize("launch", [("horovod", 2), ("multiworker", 2)], ids=str)
def test_a_rank_that_computes_is_waited_for(launch: Launch, tmp_path: Path) -> None:
    assert check("slow_rank.py", tmp_path, launch=launch).count("waited") == 2
