"""Statistics of a comparison equal those of SciPy and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from disteval.errors import DistEvalError
from disteval.report.comparison import compare, mcnemar
from disteval.report.read import StoredVersion

COUNT = 300
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 4, COUNT)


def version(**columns: Any) -> StoredVersion:
    plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
    return StoredVersion([], {"metrics": {"ece": 0.25, "f1/cat": 1.0, "r2": "nan"}}, plain, {})


def classifier(seed: int, accuracy: float) -> StoredVersion:
    random = np.random.default_rng(seed)
    right = random.random(COUNT) < accuracy
    predicted = np.where(right, TRUTH, random.integers(0, 4, COUNT))
    loss = random.exponential(1 / accuracy, COUNT)
    classes = {"label": TRUTH, "prediction": predicted}
    named = {name: [f"c{i}" for i in numbers] for name, numbers in classes.items()}
    return version(index=range(COUNT), **named, loss=loss)


FIRST, SECOND = classifier(1, 0.6), classifier(2, 0.8)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (3, 0), (10, 4), (40, 40)])
def test_mcnemar_is_the_exact_binomial_test(fixed: int, broken: int) -> None:
    n = fixed + broken
    # By summation: as many or more on one side, under a fair coin, on both sides.
    tail = sum(stats.binom.pmf(k, n, 0.5) for k in range(min(fixed, broken) + 1))
    expected = min(1.0, 2 * tail)
    assert mcnemar(fixed, broken) == pytest.approx(expected, abs=1e-12)
    if n:
        assert mcnemar(fixed, broken) == stats.binomtest(fixed, n, 0.5).pvalue


def test_outcomes_of_each_sample() -> None:
    result = compare(FIRST, SECOND)
    was, is_now = (
        np.array(v.columns["prediction"]) == np.array(v.columns["label"]) for v in (FIRST, SECOND)
    )
    expected = {
        "both right": (was & is_now).sum(), "fixed": (~was & is_now).sum(),
        "broken": (was & ~is_now).sum(), "both wrong": (~was & ~is_now).sum(),
    }  # fmt: skip
    assert result.counts == expected
    assert sum(result.counts.values()) == COUNT
    assert result.p_value == mcnemar(expected["fixed"], expected["broken"]) < 0.05


def test_metrics_and_paired_intervals() -> None:
    found = {each.name: each for each in compare(FIRST, SECOND).differences}
    sides = [[v.columns[name] for name in ("label", "prediction")] for v in (FIRST, SECOND)]
    for name, score in (
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ):
        values = [score(*side, average="macro", zero_division=0) for side in sides]
        assert [found[name].first, found[name].second] == pytest.approx(values, abs=1e-12)
        drawn = RANDOM.integers(0, COUNT, (300, COUNT))
        arrays = [[np.array(part) for part in side] for side in sides]
        changes = [
            score(*(p[i] for p in arrays[1]), average="macro", zero_division=0)
            - score(*(p[i] for p in arrays[0]), average="macro", zero_division=0)
            for i in drawn
        ]
        expected = np.percentile(changes, [2.5, 97.5])
        width = expected[1] - expected[0]
        np.testing.assert_allclose(found[name].interval, expected, atol=0.2 * width)
    change = np.array(SECOND.columns["loss"]) - np.array(FIRST.columns["loss"])
    assert found["loss"].second - found["loss"].first == pytest.approx(change.mean())
    margin = 1.96 * change.std() / np.sqrt(COUNT)
    expected = (change.mean() - margin, change.mean() + margin)
    np.testing.assert_allclose(found["loss"].interval, expected, atol=0.15 * margin)
    assert found["ece"].interval is None, "only the value of all samples is known"
    assert not {"f1/cat", "r2", "index", "label"} & found.keys()


def test_a_regression() -> None:
    errors = RANDOM.normal(size=(2, COUNT))
    sides = [
        version(index=range(COUNT), target=TRUTH / 7, prediction=TRUTH / 7 + e, squared_error=e**2)
        for e in errors
    ]
    result = compare(*sides)
    assert result.outcomes is None
    assert result.p_value is None
    assert result.counts == {}
    (rmse,) = (each for each in result.differences if each.name == "rmse")
    assert rmse.first == pytest.approx(np.sqrt(np.square(errors[0]).mean()))
    assert rmse.interval is not None
    assert rmse.interval[0] < rmse.second - rmse.first < rmse.interval[1]


def test_a_column_that_says_what_is_right_comes_first() -> None:
    columns = {"index": [0, 1], "label": ["a", "b"], "prediction": ["a", "a"]}
    one, other = version(**columns, correct=[False, True]), version(**columns, correct=[True, True])
    result = compare(one, other)
    assert result.counts == {"both right": 1, "fixed": 1, "broken": 0, "both wrong": 0}
    (accuracy,) = (each for each in result.differences if each.name == "accuracy")
    assert (accuracy.first, accuracy.second) == (0.5, 1.0)


def test_the_same_run_twice_and_a_single_sample() -> None:
    result = compare(FIRST, FIRST)
    assert result.p_value == 1.0
    assert all(each.interval in (None, (0, 0)) for each in result.differences)
    one = version(index=[0], label=["a"], prediction=["a"], loss=[0.5])
    loss = next(each for each in compare(one, one).differences if each.name == "loss")
    assert loss.interval is None


def test_nothing_to_compare() -> None:
    bare = StoredVersion([], {}, {"index": [0, 1], "label": ["a", "b"]}, {})
    with pytest.raises(DistEvalError, match="There is nothing to compare"):
        compare(bare, bare)
