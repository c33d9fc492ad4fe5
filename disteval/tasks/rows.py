"""Chooses the samples that the tables show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from disteval.arguments import check_choice, check_positive
from disteval.errors import DistEvalError
from disteval.tables.history import Changes
from disteval.tasks.assessment import Assessment

# The same samples in all versions.
FIXED = ("first", "random", "stratified")
# Samples that are chosen anew in each version, in an order of importance.
RANKED = ("worst", "changed")
# Those of them that only a classifier can tell.
OF_CLASSES = ("forgotten", "suspect")

# Fixed, so that two runs on the same data show the same samples and can be compared.
SEED = 0


def check_rows(rows: str, num_rows: int | None, choices: Sequence[str], history: bool) -> None:
    """Raises a `DistEvalError` if `rows` or `num_rows` is invalid.

    Args:
        rows, num_rows, history: See `TaskEval`.
        choices: The choices that the evaluator has.
    """
    check_choice("rows", rows, choices)
    if rows in ("changed", "forgotten") and not history:
        raise DistEvalError(
            f"`rows` needs a history. Received: rows={rows!r} with history=False. Expected: "
            "history=True, which is the default."
        )
    if num_rows is not None:
        check_positive("num_rows", num_rows)
    elif rows != "first":
        raise DistEvalError(
            f"`num_rows` is missing. Received: num_rows=None with rows={rows!r}. "
            'Expected: a positive integer; None is valid with rows="first" only.'
        )


def fixed_rows(
    rows: str, num_rows: int | None, num_samples: int, strata: np.ndarray | None
) -> np.ndarray:
    """Returns the indices of the samples that all versions show.

    Args:
        rows: One of `FIXED`.
        num_rows: How many samples to choose.
        num_samples: The number of samples.
        strata: See `stratified_rows`; needed for that only.
    """
    if rows == "stratified":
        assert strata is not None
        return stratified_rows(strata, num_rows)
    choose = random_rows if rows == "random" else first_rows
    return choose(num_samples, num_rows)


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


def deciles(values: np.ndarray) -> np.ndarray:
    """Returns the decile of each number, as a stratum; int of shape `(samples,)`."""
    return np.searchsorted(np.quantile(values, np.arange(1, 10) / 10), values)


def ranked_rows(
    rows: str, num_rows: int | None, assessment: Assessment, changes: Changes | None
) -> np.ndarray:
    """Returns the indices of the samples that a version should show, the first one first.

    Args:
        rows: One of `RANKED` or `OF_CLASSES`.
        num_rows: How many samples to choose.
        assessment: What was computed of the predictions of all samples.
        changes: What the version has changed; `None` without a history.
    """
    if rows == "worst":
        # A loss of NaN counts as the highest.
        keys = [-np.nan_to_num(assessment.losses, nan=np.inf)]
    elif rows == "suspect":
        assert assessment.outcome is not None
        keys = [np.nan_to_num(assessment.outcome.confidence, nan=0.0)]
    else:
        assert changes is not None
        columns = changes.columns
        if rows == "forgotten":
            keys = [-columns["times_forgotten"], columns["mean_confidence"]]
        else:
            size = np.nan_to_num(np.abs(columns["loss_change"]))
            keys = [~columns.get("changed", np.zeros(len(size), bool)), -size]
    # The last key of `lexsort` is the first to sort by.
    return np.lexsort(keys[::-1])[:num_rows]
