"""Logits or probabilities, told by a model; outputs and labels as one tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError, DistEvalError
from disteval.tasks.probabilities import (
    labels_of,
    numbers_of,
    returns_logits,
    single_output,
    to_probabilities,
)

keras = tf.keras


def linear(outputs: int, activation: str | None = None, loss: Any = None) -> Any:
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(outputs, activation)])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("softmax", None, False),
        ("sigmoid", None, False),
        (None, None, True),
        (None, keras.losses.CategoricalCrossentropy(from_logits=True), True),
        (None, keras.losses.CategoricalCrossentropy(), False),
        (None, [keras.losses.CategoricalCrossentropy(from_logits=True)], True),
        (None, "sparse_categorical_crossentropy", False),
        (None, keras.losses.sparse_categorical_crossentropy, False),
        (None, keras.losses.MeanSquaredError(), True),
    ],
)
def test_from_logits_is_found_out(activation: str | None, loss: Any, expected: bool) -> None:
    model = linear(3, activation, loss)
    assert returns_logits(model, "auto") == expected
    assert returns_logits(model, True)
    assert not returns_logits(model, False)


def test_the_name_of_a_users_loss_is_not_conclusive() -> None:
    def my_crossentropy(y: Any, outputs: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)

    assert returns_logits(linear(3, None, my_crossentropy), "auto")


def test_models_that_are_not_conclusive() -> None:
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(3, "relu")])
    with pytest.raises(DistEvalError, match=r"Expected: from_logits=True or False"):
        returns_logits(model, "auto")


@pytest.mark.parametrize(
    ("outputs", "logits", "independent", "expected"),
    [
        ([[0.2, 0.8]], False, False, [[0.2, 0.8]]),
        ([[0.0, np.log(3)]], True, False, [[0.25, 0.75]]),
        ([[0.8]], False, False, [[0.2, 0.8]]),
        ([[np.log(3)]], True, False, [[0.25, 0.75]]),
        ([[0.0, np.log(3)]], True, True, [[0.5, 0.75]]),
        ([[0.8]], False, True, [[0.8]]),
    ],
)
def test_probabilities(outputs: Any, logits: bool, independent: bool, expected: Any) -> None:
    found = to_probabilities(tf.constant(outputs, tf.float32), logits, independent)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_one_of_several_outputs() -> None:
    assert single_output([tf.constant([1])]).dtype == tf.float32
    with pytest.raises(DataError, match="Received: a model with 2 outputs"):
        single_output({"a": tf.constant([1]), "b": tf.constant([1])})


def test_labels_of_a_batch() -> None:
    x = y = tf.constant([1, 2])
    assert numbers_of((x, y)) is numbers_of((x, y, x)) is y
    assert labels_of((x, {"a": y})) == {"a": y}
    for batch in (x, (x,)):
        with pytest.raises(DataError, match="`validation_data` has no labels"):
            labels_of(batch)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (tf.constant(["a"]), "string"),
        (tf.ragged.constant([[1], [2, 3]]), "RaggedTensor"),
        ({"a": tf.constant([1])}, "dict"),
    ],
    ids=["strings", "ragged", "nest"],
)
def test_labels_that_are_not_one_tensor_of_numbers(y: Any, told: str) -> None:
    with pytest.raises(DataError, match=f"not numeric. Received: labels of type {told}"):
        numbers_of((None, y))
