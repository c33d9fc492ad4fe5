"""What two models say of the same samples: outcomes, and metrics with paired intervals."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from disteval.errors import DistEvalError
from disteval.intervals import bootstrap
from disteval.report import columns as roles
from disteval.report.matching import COUNTED, match_rows
from disteval.report.read import StoredVersion
from disteval.tables.history import COLUMNS as HISTORY

OUTCOMES = ("both right", "fixed", "broken", "both wrong")
# Columns whose means have other names as metrics.
MEANS = {"absolute_error": "mae"}

# Computes a metric of resamples: float of shape `(resamples,)` for samples of shape
# `(resamples, samples)`.
Statistic = Callable[[np.ndarray], np.ndarray]


class Difference(NamedTuple):
    """A metric of two runs.

    Attributes:
        name: Its name.
        first, second: Its values.
        interval: The 95 % paired bootstrap interval of the second minus the first; `None` of a
            metric that cannot be computed from the tables.
    """

    name: str
    first: float
    second: float
    interval: tuple[float, float] | None


@dataclasses.dataclass
class Comparison:
    """Two versions, sample by sample.

    Attributes:
        rows: int of shape `(samples, 2)`: the rows of each sample in the two tables.
        outcomes: The outcome of each sample, a number of `OUTCOMES`; `None` if it is not known
            which predictions are right.
        p_value: Of McNemar's exact test, whether fixed and broken are equally likely.
        differences: Metrics.
    """

    rows: np.ndarray
    outcomes: np.ndarray | None
    p_value: float | None
    differences: list[Difference]

    @property
    def counts(self) -> dict[str, int]:
        """The number of samples of each outcome."""
        if self.outcomes is None:
            return {}
        numbers = np.bincount(self.outcomes, minlength=len(OUTCOMES)).tolist()
        return dict(zip(OUTCOMES, numbers, strict=True))


def compare(first: StoredVersion, second: StoredVersion) -> Comparison:
    """Compares two versions on the samples that are in both tables.

    Raises:
        DistEvalError: They are not of the same samples, or have nothing to compare.
    """
    rows = np.array(match_rows(first, second))
    right = [_correct(version)[rows[:, i]] for i, version in enumerate((first, second))]
    outcomes = p_value = None
    if all(None not in each for each in right):
        was, is_now = (each.astype(bool) for each in right)
        outcomes = np.select([was & is_now, ~was & is_now, was & ~is_now], [0, 1, 2], 3)
        p_value = mcnemar(int((outcomes == 1).sum()), int((outcomes == 2).sum()))
    paired = _statistics(first, rows[:, 0]), _statistics(second, rows[:, 1])
    if outcomes is not None:
        for side, values in zip(paired, right, strict=True):
            side["accuracy"] = functools.partial(_mean, values.astype(np.float64))
    differences = [*_measured(*paired, len(rows)), *_logged(first, second, paired[0])]
    if outcomes is None and not differences:
        raise DistEvalError(
            "There is nothing to compare. Received: tables without a column of numbers, or of "
            f"what is right: {list(first.columns)}. Expected: a column such as correct or loss."
        )
    return Comparison(rows, outcomes, p_value, differences)


def mcnemar(fixed: int, broken: int) -> float:
    """Returns the p-value of McNemar's exact test: that both are as likely."""
    from scipy import stats

    if not fixed + broken:
        return 1.0
    return float(stats.binomtest(fixed, fixed + broken, 0.5).pvalue)


def _correct(version: StoredVersion) -> np.ndarray:
    """Returns whether each row is right; bool, or `None` where it is not known."""
    named = roles.recognise(version.columns)
    num_rows = len(next(iter(version.columns.values()), []))
    found: Sequence[Any] = [None] * num_rows
    if "correct" in named:
        found = version.columns[named["correct"]]
    elif {"truth", "prediction"} <= named.keys():
        pair = [version.columns[named[role]] for role in ("truth", "prediction")]
        if roles.are_classes(*pair) or roles.are_class_lists(*pair):
            found = [str(truth) == str(predicted) for truth, predicted in zip(*pair, strict=True)]
    return np.array(found, object)


def _statistics(version: StoredVersion, rows: np.ndarray) -> dict[str, Statistic]:
    """Returns the metrics that can be computed from a table, by name."""
    named = roles.recognise(version.columns)
    found: dict[str, Statistic] = {}
    own = [n for n in version.columns if n not in {*version.truth, *COUNTED, *HISTORY}]
    for name in own:
        cells = [version.columns[name][row] for row in rows]
        if not all(map(roles.is_number, cells)) or "/" in name:
            continue
        values = np.array(cells, np.float64)
        if name == "squared_error":
            found["rmse"] = functools.partial(_root_mean, values)
        elif name != named.get("prediction") and np.isfinite(values).all():
            found[MEANS.get(name, name)] = functools.partial(_mean, values)
    classes = [version.columns[named[r]] for r in ("truth", "prediction") if r in named]
    if len(classes) == 2 and roles.are_classes(*classes):
        found |= _of_classes(*([str(cells[row]) for row in rows] for cells in classes))
    return found


def _mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return values[drawn].mean(axis=-1)


def _root_mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(values, drawn))


def _of_classes(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, Statistic]:
    """Returns precision, recall and F1: means over the classes that occur in a resample."""
    names, numbers = np.unique([*truth, *predicted], return_inverse=True)
    labels, found = numbers[: len(truth)], numbers[len(truth) :]
    right = np.where(labels == found, labels, len(names))  # a class more, for what is wrong

    def count(kinds: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        size = len(names) + 1
        placed = kinds[drawn] + size * np.arange(len(drawn))[:, np.newaxis]
        counts = np.bincount(placed.reshape(-1), minlength=size * len(drawn))
        return counts.reshape(-1, size)[:, :-1]

    def mean(drawn: np.ndarray, of_labels: float) -> np.ndarray:
        true, said = count(labels, drawn), count(found, drawn)
        whole = of_labels * true + (1 - of_labels) * said
        shares = np.where(whole > 0, count(right, drawn) / np.maximum(whole, 0.5), 0)
        return shares.sum(axis=1) / (true + said > 0).sum(axis=1)

    # F1 is what is right of the mean of labels and predictions.
    kinds = {"precision": 0.0, "recall": 1.0, "f1": 0.5}
    return {name: functools.partial(mean, of_labels=part) for name, part in kinds.items()}


def _measured(
    first: Mapping[str, Statistic], second: Mapping[str, Statistic], samples: int
) -> list[Difference]:
    """Returns the metrics that both tables hold, with intervals."""
    names = [name for name in first if name in second]
    if not names:
        return []
    whole = np.arange(samples)[np.newaxis]
    values = [[float(side[name](whole)[0]) for name in names] for side in (first, second)]
    ends: list[tuple[float, float] | None] = [None] * len(names)
    if samples > 1:
        low, high = bootstrap(
            lambda drawn: np.stack([second[name](drawn) - first[name](drawn) for name in names]),
            samples,
        )
        ends = list(zip(low.tolist(), high.tolist(), strict=True))
    return [Difference(*each) for each in zip(names, *values, ends, strict=True)]


def _logged(
    first: StoredVersion, second: StoredVersion, known: Mapping[str, Statistic]
) -> list[Difference]:
    """Returns the other metrics of all samples, which the versions logged."""
    sides = [version.metadata.get("metrics", {}) for version in (first, second)]
    names = [n for n in sides[0] if n in sides[1] and n not in known and "/" not in n]
    kept = [n for n in names if n not in ("fixed", "broken")]
    pairs = [(n, sides[0][n], sides[1][n]) for n in kept]
    return [
        Difference(name, float(one), float(other), None)
        for name, one, other in pairs
        if roles.is_number(one) and roles.is_number(other)
    ]
