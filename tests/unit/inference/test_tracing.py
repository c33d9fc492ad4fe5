"""Errors of a compiled function."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

import disteval
from disteval.errors import DataError
from disteval.inference.tracing import WRAPPED, failed_at, plain_errors


def fail(outputs: Any, batch: Any) -> Any:
    raise DataError("The labels are wrong. Received: none. Expected: some.")


def test_autograph_hides_the_message() -> None:
    """Without this, `plain_errors` would have nothing to do."""
    with pytest.raises(DataError) as info:
        tf.function(lambda x: fail(x, x)).get_concrete_function(tf.TensorSpec([]))
    assert str(info.value).startswith(WRAPPED)


def test_an_error_of_this_package_comes_first() -> None:
    with pytest.raises(DataError) as info, plain_errors():
        tf.function(lambda x: fail(x, x)).get_concrete_function(tf.TensorSpec([]))
    assert str(info.value).startswith("The labels are wrong.")
    with pytest.raises(DataError, match=r"^the other"), plain_errors():
        raise DataError("the other")


def test_predict_raises_it_so() -> None:
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    with pytest.raises(DataError, match=r"^The labels are wrong\."):
        disteval.predict(model, tf.zeros([3, 2]), postprocess=fail)
    with pytest.raises(KeyError, match=WRAPPED):
        disteval.predict(model, tf.zeros([3, 2]), postprocess=lambda outputs, batch: {}["a"])


@tf.function
def joined(size: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    array = tf.TensorArray(tf.float32, 2, infer_shape=False)
    array = array.write(0, tf.zeros([3, size])).write(1, tf.zeros([3, other]))
    return array.concat()


@tf.function
def checked(size: tf.Tensor) -> tf.Tensor:
    tf.debugging.assert_positive(size)
    return joined(size, size)


def test_the_operation_that_failed() -> None:
    with pytest.raises(tf.errors.OpError) as info:
        joined(tf.constant(2), tf.constant(3))
    assert failed_at(info.value, "TensorListConcat")
    with pytest.raises(tf.errors.OpError) as info:
        checked(tf.constant(-1))
    assert not failed_at(info.value, "TensorListConcat")
    # As on several replicas.
    message = "{{node assert_positive/Assert}}\n\t [[TensorListConcatV2_1/_42]]"
    assert not failed_at(tf.errors.OpError(None, None, message, 3), "TensorListConcat")
