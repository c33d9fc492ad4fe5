"""Intervals of confidence, by the percentile bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
RESAMPLES = 1000
# Fixed, so that equal data has equal intervals.
SEED = 0
# Numbers drawn at a time: few enough for a processor's cache.
BATCH = 50_000
# The mean of more samples is normal, to within the noise of the resampling.
MAX_RESAMPLED = 10_000


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], num_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bootstrap intervals of statistics of samples.

    Args:
        statistic: Computes the statistics of resamples. It gets the numbers of their samples, int
            of shape `(resamples, samples)`, and returns float of shape `(..., resamples)`.
        num_samples: The number of samples, at least 2.

    Returns:
        The lower and the upper ends; float of shape `(...)`.
    """
    from scipy import stats

    result = stats.bootstrap(
        (np.arange(num_samples),),
        lambda drawn, axis=-1: statistic(np.atleast_2d(drawn)),
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // num_samples),
        confidence_level=LEVEL,
        method="percentile",
        vectorized=True,
        rng=SEED,
    )
    low, high = result.confidence_interval
    return low, high


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Returns the bootstrap interval of a mean.

    Args:
        values: float or bool of shape `(samples,)`, at least 2.
    """
    from scipy import stats

    count, mean = len(values), values.mean(dtype=np.float64)
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if values.dtype == bool:
        # How many of a resample are true is binomial: no resample need be drawn.
        low, high = stats.binom.ppf(tails, count, mean) / count
    elif count > MAX_RESAMPLED:
        margin = NormalDist().inv_cdf(tails[1]) * values.std(dtype=np.float64) / np.sqrt(count)
        low, high = mean - margin, mean + margin
    else:
        low, high = bootstrap(lambda drawn: values[drawn].mean(axis=-1), count)
    return float(low), float(high)
