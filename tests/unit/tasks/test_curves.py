"""Curves equal those of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import metrics
from sklearn.datasets import load_digits

from disteval.tasks import curves
from disteval.tasks.curves import evenly_spaced

Y = load_digits().target[:300]


def test_curves_are_those_of_scikit_learn() -> None:
    scores = np.random.default_rng(0).random((300, 10))
    rows = curves.pr_and_roc(Y, scores, range(10))["roc_curve"].table.data
    expected = metrics.roc_curve(Y == 3, scores[:, 3])
    found = np.array([row[1:] for row in rows if row[0] == "3"])
    np.testing.assert_allclose(found, np.stack(expected[:2], axis=1))
    assert not curves.pr_and_roc(Y, scores, range(101))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_class = curves.pr_and_roc(np.zeros(300, int), scores, range(10))
    assert one_class == {}


def test_no_curves_of_scores_that_are_not_finite() -> None:
    scores = np.random.default_rng(0).random((300, 10))
    scores[5, 3] = np.nan
    assert curves.pr_and_roc(Y, scores, range(10)) == {}


def test_no_confusion_matrix_of_too_many_classes() -> None:
    assert set(curves.confusion_matrix(Y, Y, range(100))) == {"confusion_matrix"}
    assert curves.confusion_matrix(Y, Y, range(101)) == {}


def test_evenly_spaced() -> None:
    assert evenly_spaced(3, 10).tolist() == [0, 1, 2]
    assert evenly_spaced(9, 3).tolist() == [0, 4, 8]
    assert len(evenly_spaced(100_000, 10_000)) == 10_000
