"""What only Keras 2 has: metrics whose variables are lent and restored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from disteval.inference.keras2 import LendingSteps


def steps_of(model: tf_keras.Model) -> LendingSteps:
    steps = LendingSteps(model, tf.distribute.get_strategy(), [None])
    steps.read_metrics()
    return steps


def trained() -> tf_keras.Model:
    model = tf_keras.Sequential([tf_keras.Input((1,)), tf_keras.layers.BatchNormalization()])
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(np.ones((4, 1)), np.zeros((4, 1)), verbose=0)
    return model


def test_states_are_restored_also_after_an_error() -> None:
    steps = steps_of(trained())
    before = [np.asarray(v) for v in steps.metric_variables]
    assert any(array.any() for array in before)

    def write_and_fail() -> None:
        with steps.lent():
            for variable in steps.metric_variables:
                variable.assign(tf.zeros_like(variable) - 1)
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        write_and_fail()
    for old, variable in zip(before, steps.metric_variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(variable))


def test_variables_that_a_step_may_write_are_watched() -> None:
    model = trained()
    steps = steps_of(model)
    watched = {id(variable) for variable in steps.watched(None)}
    assert watched == {id(variable) for variable in model.layers[0].non_trainable_variables}


def test_a_summed_loss_is_refused_on_several_replicas_only() -> None:
    model = trained()
    model.compile("sgd", tf_keras.losses.MeanSquaredError(reduction="sum"))
    assert steps_of(model).refusal() is None
