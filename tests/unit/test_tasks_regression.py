"""Metrics of regressions equal those of scikit-learn, also of several targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb
from sklearn import metrics

import disteval
from disteval.errors import DataError

keras = tf.keras
RANDOM = np.random.default_rng(0)
X = RANDOM.random((50, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _disabled_run() -> Any:
    with wandb.init(mode="disabled"):
        yield


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
    result = evaluation.assess(found, [evaluation.read_label(label) for label in y])
    predicted = model.predict(X, verbose=0).reshape(shape)
    expected = {
        "mae": metrics.mean_absolute_error(y, predicted),
        "rmse": metrics.root_mean_squared_error(y, predicted),
        "r2": metrics.r2_score(y, predicted),
    }
    assert result.metrics == pytest.approx(expected, abs=1e-6)
    assert set(result.plots) == {"scatter", "residuals"}
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


@pytest.mark.parametrize("rows", ["first", "worst", "random", "stratified"])
def test_more_rows_than_samples(rows: str) -> None:
    evaluation = disteval.RegressionEval((X, X[:, 0]), rows=rows, num_rows=1000)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    assert sorted(evaluation.pred_table.get_column("index")) == list(range(50))


def test_the_panel_has_no_more_rows_than_wandb_shows() -> None:
    logged: dict[str, Any] = {}

    class Noting(disteval.RegressionEval):
        def add_metrics(self, given: Mapping[str, Any]) -> None:
            logged.update(given)
            super().add_metrics(given)

    x = np.zeros((10_005, 4), np.float32)
    evaluation = Noting((x, x[:, 0]), panel=True)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    assert [row[1] for row in logged["predictions"].data] == list(range(10_000))
    assert logged["predictions"].columns == evaluation.pred_table.columns
    assert len(evaluation.pred_table.data) == 10_005
