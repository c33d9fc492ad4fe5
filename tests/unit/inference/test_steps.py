"""What both versions of Keras share: whose methods run, and where predictions come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from disteval.inference.keras2 import LendingSteps
from disteval.inference.keras3 import StatelessSteps
from disteval.inference.steps import Steps, attribute, make_steps, metric_of, token_of

keras = tf.keras
BOTH = pytest.mark.parametrize("k", [keras, tf_keras], ids=["Keras 3", "Keras 2"])
X = np.arange(6, dtype=np.float32).reshape(6, 1)
BATCH = (tf.constant(X), tf.constant(X))


def steps_of(k: Any, kind: Any = None) -> Steps:
    inputs = k.Input((1,))
    model = (kind or k.Model)(inputs, k.layers.Rescaling(2.0)(inputs))
    model.compile("sgd", loss="mse", metrics=["mae"])
    model.evaluate(X, X, verbose=0)
    steps = make_steps(model, tf.distribute.get_strategy(), [None])
    steps.read_metrics()
    return steps


def run(steps: Steps, *, validates: bool = True) -> Any:
    states = [tf.zeros(v.shape, v.dtype) for v in steps.metric_variables] if validates else None
    with steps.lent():
        return steps.run(BATCH, steps.values(0), states, lambda outputs, batch: outputs)


def test_steps_of_both_versions() -> None:
    assert isinstance(steps_of(keras), StatelessSteps)
    assert isinstance(steps_of(tf_keras), LendingSteps)


@BOTH
def test_methods_that_are_not_those_of_keras(k: Any) -> None:
    class Own(k.Model):
        def test_step(self, data: Any) -> Any:
            return super().test_step(data)

    names = ("test_step", "predict_step", "compute_loss")
    assert steps_of(k).overrides(*names) == []
    steps = steps_of(k, Own)
    assert steps.overrides(*names) == ["test_step"]
    steps.model.__dict__["compute_loss"] = lambda *args: 0
    assert steps.overrides(*names) == ["test_step", "compute_loss"]


@BOTH
def test_predictions_and_states_of_a_batch(k: Any) -> None:
    steps = steps_of(k)
    result = run(steps)
    np.testing.assert_array_equal(result.outputs, 2 * X)
    assert {round(float(state), 3) for state in result.states} >= {6.0, 15.0}, (
        "count and sum of mae"
    )
    assert {metric_of(value).name for value in result.returned.values()} == set(result.returned)


@BOTH
def test_without_metrics_only_predict_step_runs(k: Any) -> None:
    result = run(steps_of(k), validates=False)
    np.testing.assert_array_equal(result.outputs, 2 * X)
    assert result.states == []
    assert result.returned is None


@BOTH
def test_predictions_are_those_of_an_own_predict_step(k: Any) -> None:
    class Own(k.Model):
        def predict_step(self, data: Any) -> Any:
            return super().predict_step(data) + 1

    np.testing.assert_array_equal(run(steps_of(k, Own)).outputs, 2 * X + 1)


@BOTH
def test_the_metrics_are_left_as_they_are(k: Any) -> None:
    steps = steps_of(k)
    before = [np.asarray(v) for v in steps.metric_variables]
    assert any(array.any() for array in before)
    run(steps)
    for old, variable in zip(before, steps.metric_variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(variable))


@BOTH
def test_results_of_other_states(k: Any) -> None:
    steps = steps_of(k)
    own = steps.model.get_metrics_result()
    states = [tf.ones(v.shape, v.dtype) for v in steps.metric_variables]
    results = steps.with_states(
        states, lambda: {n: float(v) for n, v in steps.model.get_metrics_result().items()}
    )
    assert set(results.values()) == {1.0}
    assert steps.model.get_metrics_result() == own


@BOTH
def test_a_new_compile_is_noticed(k: Any) -> None:
    steps = steps_of(k)
    assert not steps.read_metrics()
    steps.model.compile("sgd", loss="mse")
    assert steps.read_metrics()


def test_an_attribute_is_replaced_for_a_block() -> None:
    metric = keras.metrics.Mean()
    with attribute(metric, "result", token_of(metric)):
        assert metric_of(metric.result()) is metric
    assert "result" not in vars(metric)
    assert metric_of(metric.result()) is None
