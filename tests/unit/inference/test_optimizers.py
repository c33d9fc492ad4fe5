"""What optimizers of several ranks tell."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
import tf_keras

from disteval.inference.optimizers import ITERATIONS, KIND, LEARNING_RATE, differences
from disteval.inference.optimizers import OptimizerReport as Report


@pytest.mark.parametrize("keras", [tf.keras, tf_keras], ids=["keras 3", "keras 2"])
@pytest.mark.parametrize("scheduled", [False, True])
def test_the_report_of_a_model(keras: Any, scheduled: bool) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert Report.of(model) == Report(None, None, None), "not compiled"
    rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5) if scheduled else 0.5
    model.compile(keras.optimizers.SGD(rate), "mse")
    assert Report.of(model) == Report("SGD", 0.5, 0)
    model.fit(tf.zeros([4, 2]), tf.zeros([4, 1]), batch_size=2, verbose=0)
    # After two batches; in Keras 2, the rate of the second batch.
    after = (0.25 if keras is tf_keras else 0.125) if scheduled else 0.5
    assert Report.of(model) == Report("SGD", after, 2)


def test_optimizers_that_are_alike() -> None:
    assert differences([Report("SGD", 0.5, 3)] * 3) == ""
    assert differences([Report(None, None, None)]) == ""


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Report("SGD", 0.05, 3), f"rate differs: 0.5 on rank 0, 0.05 on rank 1. {LEARNING_RATE}"),
        (Report("SGD", 0.5, 4), f"differs: 3 on rank 0, 4 on rank 1. {ITERATIONS}"),
        (Report("Adam", 0.5, 3), f"The optimizer differs: SGD on rank 0, Adam on rank 1. {KIND}"),
    ],
)
def test_what_differs_is_named_with_what_to_do(other: Report, told: str) -> None:
    assert differences([Report("SGD", 0.5, 3), other]).endswith(told)


def test_everything_that_differs_is_named() -> None:
    lines = differences([Report("SGD", 0.5, 3), Report("Adam", 0.1, 4)]).splitlines()
    assert [line.partition(" differs")[0] for line in lines] == [
        "The optimizer",
        "The number of iterations of the optimizer",
        "The learning rate",
    ]
