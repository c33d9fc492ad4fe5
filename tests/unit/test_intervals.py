"""Bootstrap intervals hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from disteval import intervals
from disteval.intervals import bootstrap, mean_interval


def resampled(values: np.ndarray) -> tuple[float, float]:
    low, high = bootstrap(lambda drawn: values[drawn].mean(axis=-1)[np.newaxis], len(values))
    return float(low[0]), float(high[0])


@pytest.mark.parametrize(("kind", "truth"), [("accuracy", 0.8), ("loss", 0.5)])
def test_coverage_of_the_truth(kind: str, truth: float) -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        drawn = random.random(300) < truth if kind == "accuracy" else random.gamma(1, truth, 300)
        low, high = mean_interval(drawn)
        covered += low <= truth <= high
    assert 930 <= covered <= 970, covered


def test_an_interval_is_the_same_each_time_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=1000)
    expected = resampled(values)
    assert resampled(values) == expected
    monkeypatch.setattr(intervals, "BATCH", 5000)
    assert resampled(values) == pytest.approx(expected, abs=0.01)


def test_the_interval_of_a_share_is_that_of_resamples() -> None:
    values = np.random.default_rng(0).random(500) < 0.9
    np.testing.assert_allclose(mean_interval(values), resampled(values), atol=0.004)


def test_the_interval_of_many_samples_is_that_of_resamples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).gamma(0.5, 1, 3000)
    expected = resampled(values)
    assert mean_interval(values) == expected
    monkeypatch.setattr(intervals, "MAX_RESAMPLED", 2000)
    found = mean_interval(values)
    assert found != expected
    np.testing.assert_allclose(found, expected, atol=0.1 * (expected[1] - expected[0]))


def test_statistics_share_their_resamples() -> None:
    values = np.random.default_rng(0).normal(size=(2, 50))
    both = np.stack([values[0], values[0] + 1])
    low, high = bootstrap(lambda drawn: both[:, drawn].mean(axis=-1), 50)
    np.testing.assert_allclose([low[1] - low[0], high[1] - high[0]], 1)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean_interval(np.ones(2)) == (1, 1)
