"""Shares of ranks: they follow speeds, and stay where they are for good reasons."""

from __future__ import annotations

import pytest

from disteval.inference.balance import balanced


@pytest.mark.parametrize(
    ("shares", "counts", "seconds", "expected"),
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
def test_shares_follow_speeds(
    shares: tuple[float, ...] | None,
    counts: list[int],
    seconds: list[float],
    expected: tuple[float, ...] | None,
) -> None:
    assert balanced(shares, counts, seconds) == expected
