"""The share of each rank, from the work that it did in a second before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Shares change when an evaluation takes this much longer than it would with balanced shares.
BALANCE_GAIN = 1.1
# The times of shorter evaluations are mostly noise.
MIN_BALANCED_SECONDS = 0.5


def balanced(
    shares: tuple[float, ...] | None, work: Sequence[float], seconds: Sequence[float]
) -> tuple[float, ...] | None:
    """Returns the share of each rank in the next evaluation.

    Args:
        shares: The shares of this evaluation; `None` for equal parts.
        work: The work of what each rank evaluated; see `disteval.data.work`.
        seconds: How long each rank took for it.
    """
    if min(work) < 1 or min(seconds) <= 0:
        return shares
    speeds = np.array(work) / np.array(seconds)
    best = sum(work) / speeds.sum()
    if max(seconds) <= BALANCE_GAIN * best or max(seconds) < MIN_BALANCED_SECONDS:
        return shares
    # A rank whose share is almost nothing could never show that it has recovered.
    return tuple(np.maximum(speeds / speeds.sum(), 0.1 / len(speeds)).round(4).tolist())
