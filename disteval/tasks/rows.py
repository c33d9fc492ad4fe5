"""Chooses the samples that the tables show."""

from __future__ import annotations

import numpy as np

from disteval.arguments import check_choice, check_positive
from disteval.errors import DistEvalError

CHOICES = ("first", "worst", "random", "stratified")

# Fixed, so that two runs on the same data show the same samples and can be compared.
SEED = 0


def check_rows(rows: str, num_rows: int | None) -> None:
    """Raises a `DistEvalError` if `rows` or `num_rows` is invalid."""
    check_choice("rows", rows, CHOICES)
    if num_rows is not None:
        check_positive("num_rows", num_rows)
    elif rows != "first":
        raise DistEvalError(
            f"`num_rows` is missing. Received: num_rows=None with rows={rows!r}. "
            'Expected: a positive integer; None is valid with rows="first" only.'
        )


def first_rows(num_samples: int, num_rows: int | None) -> np.ndarray:
    """Returns the indices of the first samples; with `num_rows=None`, of all samples."""
    return np.arange(num_samples)[:num_rows]


def random_rows(num_samples: int, num_rows: int | None) -> np.ndarray:
    """Returns the indices of random samples, in dataset order."""
    return np.sort(np.random.default_rng(SEED).permutation(num_samples)[:num_rows])


def stratified_rows(strata: np.ndarray, num_rows: int | None) -> np.ndarray:
    """Returns the indices of samples from all strata, in dataset order.

    Each stratum has at least one row if there are as many rows as strata. Further rows are
    distributed in proportion to the sizes of the strata.

    Args:
        strata: int of shape `(samples,)`: the stratum of each sample, such as its class.
        num_rows: How many samples to choose.
    """
    order = np.random.default_rng(SEED).permutation(len(strata))
    _, stratum, sizes = np.unique(strata[order], return_inverse=True, return_counts=True)
    # The n-th sample of a stratum of size s comes at n / s, so any prefix is a stratified sample.
    grouped = np.argsort(stratum, kind="stable")
    position = np.empty(len(strata), np.int64)
    position[grouped] = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    fraction = position / sizes[stratum]
    return np.sort(order[np.argsort(fraction, kind="stable")[:num_rows]])


def worst_rows(losses: np.ndarray, num_rows: int | None) -> np.ndarray:
    """Returns the indices of the samples with the highest losses, the worst first.

    A loss of NaN counts as the highest.
    """
    return np.argsort(-np.nan_to_num(losses, nan=np.inf), kind="stable")[:num_rows]
