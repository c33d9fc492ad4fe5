"""Weights of ranks and replicas: they follow speeds, and stay where they are for good reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disteval.balance import Balance, balanced


@pytest.mark.parametrize(
    ("weights", "counts", "seconds", "expected"),
    [
        (None, [50, 50], [1.0, 3.0], (0.75, 0.25)),
        ((0.75, 0.25), [75, 25], [1.5, 1.5], (0.75, 0.25)),
        ((0.75, 0.25), [75, 25], [3.0, 1.0], (0.5, 0.5)),
        (None, [50, 50], [1.0, 1.1], None),
        pytest.param(None, [50, 50], [0.1, 0.3], None, id="too short to tell"),
        pytest.param(None, [50, 0], [1.0, 3.0], None, id="one had nothing to do"),
        pytest.param(None, [50, 50], [1.0, 0.0], None, id="one was not measured"),
        pytest.param(None, [50, 50], [0.001, 9.0], (0.9999, 0.05), id="one hardly moves"),
        pytest.param(None, [100], [2.0], None, id="one alone"),
    ],
)
def test_weights_follow_speeds(
    weights: tuple[float, ...] | None,
    counts: list[int],
    seconds: list[float],
    expected: tuple[float, ...] | None,
) -> None:
    assert balanced(weights, counts, seconds) == expected


def evaluations(balance: Balance, speeds: list[float], times: int, samples: int = 1000) -> float:
    """Evaluates on replicas of these speeds; returns the seconds of the last evaluation."""
    seconds = np.zeros(len(speeds))
    for _ in range(times):
        weights = np.array(balance.weights or [1.0] * len(speeds))
        counts = samples * weights / weights.sum()
        seconds = counts / speeds
        balance.took(counts.tolist(), seconds.tolist())
    return float(seconds.max())


@given(st.lists(st.floats(5, 50), min_size=2, max_size=8))
def test_replicas_end_at_the_same_time(speeds: list[float]) -> None:
    assert evaluations(Balance(), speeds, 4) <= 1.1 * 1000 / sum(speeds) + 1e-3


def test_the_first_evaluation_does_not_count() -> None:
    balance = Balance()
    balance.took([500, 500], [1.0, 30.0])
    assert balance.weights is None


def test_replicas_that_recover_get_their_part_again() -> None:
    balance = Balance()
    evaluations(balance, [100.0, 10.0], 3)
    assert balance.weights is not None
    assert balance.weights[1] < 0.1
    assert evaluations(balance, [100.0, 100.0], 3) < 1.1 * 5


def test_replicas_that_wait_for_each_other_keep_equal_parts() -> None:
    balance = Balance()
    for _ in range(6):
        weights = balance.weights or (0.5, 0.5)
        # On one thread, the second begins when the first has ended.
        ends = np.cumsum([1000 * weight / 100 for weight in weights])
        balance.took([1000 * weight for weight in weights], ends.tolist())
    assert balance.weights is None
