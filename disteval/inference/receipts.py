"""Receipts: which samples a rank evaluated, in a few numbers.

A receipt is a list of `Stride`s in the order of evaluation. A contiguous shard is one stride, and
so are the batches of a rank that takes turns with other ranks. For example, of 12 samples in
batches of 2, rank 0 of 2 ranks that take turns evaluates samples 0, 1, 4, 5, 8 and 9:

    >>> write(np.array([0, 1, 4, 5, 8, 9]))
    [Stride(first=0, length=2, step=4, times=3)]
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from disteval.errors import DataError, DistEvalError


class Stride(NamedTuple):
    """Runs of consecutive samples at equal distances.

    Attributes:
        first: The first sample of the first run.
        length: How many samples each run has.
        step: The distance from the first sample of a run to that of the next run; 0 if there is
            only one run.
        times: How many runs there are.
    """

    first: int
    length: int
    step: int
    times: int

    def starts(self) -> np.ndarray:
        """Returns the first sample of each run; int64 of shape `(times,)`."""
        return self.first + self.step * np.arange(self.times)


Receipt = Sequence[Stride]


def write(index: np.ndarray) -> list[Stride]:
    """Returns the receipt for samples in the order in which they were evaluated.

    Args:
        index: The number of each sample; int64 of shape `(rows,)`.
    """
    if not len(index):
        return []
    # 1. Runs of consecutive samples: a new one begins wherever the number grows by other than 1.
    begins = np.concatenate([[0], np.flatnonzero(np.diff(index) != 1) + 1])
    firsts, counts = index[begins], np.diff(begins, append=len(index))
    # 2. Runs of one length at one distance form a stride.
    strides: list[Stride] = []
    distances = np.diff(firsts)
    new_length = set((np.flatnonzero(np.diff(counts)) + 1).tolist())
    new_distance = set((np.flatnonzero(np.diff(distances)) + 2).tolist())
    edges = [0]
    for i in sorted(new_length | new_distance):
        # The second run of a stride sets the distance, so it may be at any.
        if i in new_length or i - 1 != edges[-1]:
            edges.append(i)
    for begin, end in itertools.pairwise([*edges, len(firsts)]):
        step = int(distances[begin]) if end - begin > 1 else 0
        strides.append(Stride(int(firsts[begin]), int(counts[begin]), step, end - begin))
    return strides


def read(receipt: Receipt) -> np.ndarray:
    """Returns the samples of a receipt, in the order in which they were evaluated."""
    runs = [stride.starts()[:, None] + np.arange(stride.length) for stride in receipt]
    return np.concatenate([np.empty(0, np.int64), *(run.reshape(-1) for run in runs)])


def check(receipts: Sequence[Receipt]) -> int:
    """Checks that the receipts of all ranks add up to samples 0 to n - 1, each once.

    Returns:
        The number of samples n.

    Raises:
        DataError: There is no sample.
        DistEvalError: A sample is missing or was evaluated twice.
    """
    strides = [stride for receipt in receipts for stride in receipt]
    if not strides:
        raise DataError("validation_data is empty. Expected: at least one sample.")
    firsts = np.concatenate([stride.starts() for stride in strides])
    counts = np.concatenate([np.full(stride.times, stride.length) for stride in strides])
    order = np.argsort(firsts)
    ends = np.cumsum(counts[order])
    expected = np.concatenate([[0], ends[:-1]])
    wrong = np.flatnonzero(firsts[order] != expected)
    if len(wrong):
        first, due = int(firsts[order][wrong[0]]), int(expected[wrong[0]])
        kind = "missing" if first > due else "evaluated twice"
        raise DistEvalError(
            f"the shards do not cover each sample once: sample {min(first, due)} is {kind}. "
            "Expected: every rank reads the same validation_data, in the same order."
        )
    return int(ends[-1])


def count(receipt: Receipt) -> int:
    """Returns the number of samples of a receipt."""
    return sum(stride.length * stride.times for stride in receipt)


def is_run(receipt: Receipt) -> bool:
    """Whether the samples of a receipt are consecutive; also if there are none."""
    return sum(stride.times for stride in receipt) <= 1
