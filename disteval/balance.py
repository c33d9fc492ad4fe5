"""How much each rank, and each replica of one, evaluates: by the samples per second of before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# How much longer than with balanced shards an evaluation has to take until shards change.
BALANCE_GAIN = 1.1
# Evaluations that are shorter say more of the noise than of the ranks.
MIN_BALANCED_SECONDS = 0.5


def balanced(
    weights: tuple[float, ...] | None, counts: Sequence[float], seconds: Sequence[float]
) -> tuple[float, ...] | None:
    """Returns the weights for the next evaluation, from how long this one took.

    Args:
        weights: Those of this evaluation.
        counts: The number of samples of each rank, or of each replica of one.
        seconds: How long each took for them.
    """
    if min(counts) < 1 or min(seconds) <= 0:
        return weights
    speeds = np.array(counts) / np.array(seconds)
    best = sum(counts) / speeds.sum()
    if max(seconds) <= BALANCE_GAIN * best or max(seconds) < MIN_BALANCED_SECONDS:
        return weights
    # A rank that is hardly ever asked would never be seen to have recovered.
    return tuple(np.maximum(speeds / speeds.sum(), 0.1 / len(speeds)).round(4).tolist())


class Balance:
    """Weights of the replicas of a process, which stay only if they make evaluations faster.

    Where replicas share a thread, one has to wait for another, and their times do not tell how
    fast they are.

    Attributes:
        weights: How much each replica evaluates; `None` for equal parts.
    """

    def __init__(self) -> None:
        self.weights: tuple[float, ...] | None = None
        self._is_warm = False
        self._before: tuple[tuple[float, ...] | None, float] | None = None
        self._is_in_vain = False

    def took(self, counts: Sequence[float], seconds: Sequence[float]) -> None:
        """Takes note of an evaluation; see `balanced`."""
        if not self._is_warm or self._is_in_vain or min(seconds) <= 0:
            # A device chooses its kernels when it is first used.
            self._is_warm = True
            return
        rate = sum(counts) / max(seconds)
        if self._before is not None and rate < BALANCE_GAIN * self._before[1]:
            self.weights, _ = self._before
            self._is_in_vain = True
            return
        weights = balanced(self.weights, counts, seconds)
        self._before = (self.weights, rate) if weights != self.weights else None
        self.weights = weights
