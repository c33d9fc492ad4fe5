"""AutoGraph converts what users write, and not this package."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.inference.autograph import with_autograph
from disteval.inference.functions import BatchFunctions

X = np.arange(12, dtype=np.float32).reshape(6, 2)


def model() -> Any:
    return tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Rescaling(1.0)])


def branch(outputs: Any, batch: Any) -> Any:
    if tf.reduce_sum(outputs) > 20:  # refused by TensorFlow without AutoGraph
        outputs = -outputs
    return outputs


class Branch:
    """A callable object."""

    def __call__(self, outputs: Any, batch: Any) -> Any:
        return self.method(outputs, batch)

    def method(self, outputs: Any, batch: Any) -> Any:
        return branch(outputs, batch)


@pytest.mark.parametrize(
    "function",
    [branch, Branch(), Branch().method, functools.partial(branch), tf.function(branch)],
    ids=["function", "object", "method", "partial", "tf.function"],
)
def test_control_flow_of_users(function: Any) -> None:
    expected = np.concatenate([X[:3], -X[3:]])
    found = disteval.predict(model(), X, batch_size=3, postprocess=function)
    np.testing.assert_array_equal(found, expected)

    def infer(model: Any, batch: Any) -> Any:
        return function(model(batch[0]), batch)

    np.testing.assert_array_equal(disteval.predict(model(), X, batch_size=3, infer=infer), expected)


def test_what_is_converted() -> None:
    stack: list[str] = []

    def postprocess(outputs: Any, batch: Any) -> Any:
        stack.extend(Path(frame.filename).name for frame in inspect.stack())
        return outputs

    disteval.predict(model(), X, postprocess=postprocess)
    generated = [i for i, name in enumerate(stack) if name.startswith("__autograph_generated_file")]
    assert len(generated) == 1
    assert stack.index("functions.py") > generated[0]
    assert "loop.py" in stack


def test_what_is_left_as_it_is() -> None:
    own = BatchFunctions().finish
    with tf.Graph().as_default():
        assert with_autograph(own) is own
        assert with_autograph(branch) is not branch
    assert with_autograph(branch) is branch


def test_an_import_under_another_state_of_autograph() -> None:
    """The state counts in which the package was imported, and not that of a caller."""
    predict = tf.autograph.experimental.do_not_convert(disteval.predict)
    found = predict(model(), X, batch_size=6, postprocess=branch)
    np.testing.assert_array_equal(found, -X)
