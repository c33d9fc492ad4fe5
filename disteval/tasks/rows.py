"""Which samples the tables show, where that is not all of them."""

from __future__ import annotations

import numpy as np

from disteval.errors import DistEvalError

CHOICES = ("first", "worst", "random", "stratified")

# The same in every run on the same data, so that the tables of two runs compare.
SEED = 0


def check_choice(rows: str, num_rows: int | None) -> None:
    """Raises a `DistEvalError` for a choice of rows that there is not."""
    if rows not in CHOICES:
        raise DistEvalError(f"Received: rows={rows!r}. Expected one of {', '.join(CHOICES)}.")
    if num_rows is None and rows != "first":
        raise DistEvalError(f"Received: rows={rows!r} without num_rows. Expected: how many rows.")
    if num_rows is not None and num_rows < 1:
        raise DistEvalError(f"Received: num_rows={num_rows}. Expected: a positive integer or None.")


def first_rows(num_samples: int, num_rows: int | None) -> np.ndarray:
    """Returns the numbers of the first samples; of all of them with `None`."""
    return np.arange(min(num_samples, num_rows or num_samples))


def random_rows(num_samples: int, num_rows: int) -> np.ndarray:
    """Returns the numbers of random samples, in dataset order."""
    return np.sort(np.random.default_rng(SEED).permutation(num_samples)[:num_rows])


def stratified_rows(strata: np.ndarray, num_rows: int) -> np.ndarray:
    """Returns the numbers of samples of all strata, in dataset order.

    Each stratum has one row at least, if there are as many rows as strata. Beyond that, strata
    have rows in proportion to their sizes.

    Args:
        strata: int of shape `(samples,)`: to which stratum, such as a class, a sample belongs.
        num_rows: How many to choose.
    """
    order = np.random.default_rng(SEED).permutation(len(strata))
    _, stratum, sizes = np.unique(strata[order], return_inverse=True, return_counts=True)
    # The n-th of a stratum of size s has rank n / s, so that low ranks are a stratified sample.
    grouped = np.argsort(stratum, kind="stable")
    position = np.empty(len(strata), np.int64)
    position[grouped] = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = position / sizes[stratum]
    return np.sort(order[np.argsort(rank, kind="stable")[:num_rows]])


def worst_rows(losses: np.ndarray, num_rows: int) -> np.ndarray:
    """Returns the numbers of the samples with the highest losses, the worst first.

    Samples whose loss is not a number count as the worst of all.
    """
    return np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:num_rows]
