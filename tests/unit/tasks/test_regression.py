"""Metrics of regressions equal those of scikit-learn, also of several targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import disteval
from disteval.errors import DataError

keras = tf.keras
RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 4)).astype(np.float32)


def linear(outputs: int) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 2)], ids=str)
def test_metrics(shape: tuple[int, ...]) -> None:
    y = RANDOM.random(shape) + 2
    model = linear(shape[1] if len(shape) > 1 else 1)
    evaluation = disteval.RegressionEval((X, y))
    evaluation.set_model(model)
    found = disteval.predict(model, (X, y), postprocess=evaluation.postprocess)
    labels = [evaluation.read_label(label) for label in y]
    result = evaluation.assess(found, labels)
    predicted = model.predict(X, verbose=0).reshape(shape)
    expected = {
        "mae": metrics.mean_absolute_error(y, predicted),
        "rmse": metrics.root_mean_squared_error(y, predicted),
        "r2": metrics.r2_score(y, predicted),
    }
    assert result.metrics == pytest.approx(expected, abs=1e-6)
    assert set(evaluation.plots(found, labels)) == {"scatter", "residuals"}
    errors = np.abs(y - predicted).reshape(50, -1).mean(axis=1)
    np.testing.assert_allclose(result.columns["absolute_error"], errors, atol=1e-6)
    np.testing.assert_allclose(result.columns["residual"].reshape(shape), y - predicted, atol=1e-6)


def test_targets_that_do_not_fit() -> None:
    model = linear(2)
    for y, message in (
        (RANDOM.random((50, 3)), r"predictions of shape \(None, 2\) for targets of .*\(None, 3\)"),
        (np.full((50, 2), np.nan), r"a target of \[nan, nan\]"),
        (np.full((50, 2), "a"), "labels of type string"),
    ):
        evaluation = disteval.RegressionEval((X, y))
        with pytest.raises(DataError, match=f"Received: {message}"):
            model.fit(X, np.zeros((50, 2)), verbose=0, callbacks=[evaluation])


def test_input_that_is_not_a_number() -> None:
    x = X.copy()
    x[3, 1] = np.nan
    evaluation = disteval.RegressionEval((x, X[:, 0]), rows="worst", num_rows=2)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    names = evaluation.pred_table.columns
    (first, _) = (dict(zip(names, row, strict=True)) for row in evaluation.pred_table.data)
    assert first["index"] == 3
    assert np.isnan(first["x/1"])
