"""Receipts: which samples a rank evaluated, in a few numbers.

A receipt is a list of `[first, count, step, times]`: `count` samples from `first` on, and again
every `step` samples, `times` in all. A contiguous shard is one such entry, and so are the batches
of a rank that takes turns with others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from disteval.errors import DataError, DistEvalError

Receipt = Sequence[Sequence[int]]


def write(index: np.ndarray) -> list[list[int]]:
    """Returns the receipt for samples in the order in which they were evaluated.

    Args:
        index: The number of each sample; int64 of shape `(rows,)`.
    """
    if not len(index):
        return []
    at = np.flatnonzero(np.diff(index, prepend=index[0] - 2) != 1)
    firsts, counts = index[at], np.diff(at, append=len(index))
    steps = np.diff(firsts)
    begins = [0]
    new_length = set((np.flatnonzero(np.diff(counts)) + 1).tolist())
    new_step = set((np.flatnonzero(np.diff(steps)) + 2).tolist())
    for i in sorted(new_length | new_step):
        # The second run of an entry may be at any distance: it is what sets the step.
        if i in new_length or i - 1 != begins[-1]:
            begins.append(i)
    begins.append(len(firsts))
    entries: list[list[int]] = []
    for begin, end in itertools.pairwise(begins):
        step = int(steps[begin]) if end - begin > 1 else 0
        entries.append([int(firsts[begin]), int(counts[begin]), step, end - begin])
    return entries


def read(receipt: Receipt) -> np.ndarray:
    """Returns the samples of a receipt, in the order in which they were evaluated."""
    parts = [_firsts(entry)[:, None] + np.arange(entry[1]) for entry in receipt]
    return np.concatenate([np.empty(0, np.int64), *(part.reshape(-1) for part in parts)])


def check(receipts: Sequence[Receipt]) -> int:
    """Checks that the receipts of all ranks add up to samples 0 to n - 1, each once.

    Returns:
        The number of samples n.

    Raises:
        DataError: There is no sample.
        DistEvalError: A sample is missing or was evaluated twice.
    """
    entries = [entry for receipt in receipts for entry in receipt]
    if not entries:
        raise DataError("validation_data is empty. Expected one sample at least.")
    firsts = np.concatenate([_firsts(entry) for entry in entries])
    counts = np.concatenate([np.full(entry[3], entry[1], np.int64) for entry in entries])
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
    return sum(entry[1] * entry[3] for entry in receipt)


def is_run(receipt: Receipt) -> bool:
    """Whether the samples of a receipt follow each other; also if there are none."""
    return sum(entry[3] for entry in receipt) <= 1


def _firsts(entry: Sequence[int]) -> np.ndarray:
    first, _, step, times = entry
    return first + step * np.arange(times)
