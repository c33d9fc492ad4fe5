"""Batches evaluated in Python: what may be returned, and what stays compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.inference.eager import as_tensors, check_replicas, evaluate_segment
from disteval.inference.functions import BatchFunctions

BOTH = pytest.mark.parametrize("k", [tf.keras, tf_keras], ids=["Keras 3", "Keras 2"])
X = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(23, 2)).astype(np.float32)


def small(k: Any) -> Any:
    k.utils.set_random_seed(0)
    return k.Sequential([k.Input((3,)), k.layers.Dense(2), k.layers.Dropout(0.5)])


def test_what_python_returns_becomes_tensors() -> None:
    outputs = {
        "list of texts": ["a", "bc"],
        "tuple of bytes": (b"a", b"\xff"),
        "texts of NumPy": np.array(["a", "bc"]),
        "objects": np.array([b"a", "bc"], object),
        "numbers": np.arange(2, dtype=np.int16),
        "nest": [np.zeros(2), ["x", "y"]],
        "tensor": tf.ragged.constant([[1], [2, 3]]),
    }
    found = as_tensors(outputs)
    assert found["list of texts"].numpy().tolist() == [b"a", b"bc"]
    assert found["tuple of bytes"].numpy().tolist() == [b"a", b"\xff"]
    assert found["texts of NumPy"].numpy().tolist() == [b"a", b"bc"]
    assert found["objects"].numpy().tolist() == [b"a", b"bc"]
    assert found["numbers"].dtype == tf.int16
    assert [part.dtype for part in found["nest"]] == [tf.float64, tf.string]
    assert found["tensor"] is outputs["tensor"]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0], "not a tensor with one row for each sample. Received: 1.0"),
        (["a"], "Received: 1 predictions .*string.* for a batch of 4 samples"),
        (None, "Received: None"),
    ],
)
def test_what_is_no_row_for_each_sample(returned: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        disteval.predict(
            small(tf.keras), X, batch_size=4, infer=lambda model, batch: returned, eager=True
        )


def test_rows_that_differ_in_shape_between_batches() -> None:
    def infer(model: Any, batch: Any) -> np.ndarray:
        return np.zeros((len(batch[0]), len(batch[0])))

    rows = disteval.predict(small(tf.keras), X[:8], batch_size=3, infer=infer, eager=True)
    assert [row.shape for row in rows] == [(3,)] * 6 + [(2,)] * 2


def test_rows_that_differ_in_shape_in_one_call() -> None:
    def step(rows: tf.Tensor) -> Any:
        return [[tf.zeros([len(rows), len(rows)])]], tf.constant([len(rows)]), []

    with pytest.raises(DataError, match="differ in shape between batches"):
        evaluate_segment((tf.zeros([5]), tf.constant([0, 3, 5])), step, [])


@BOTH
def test_the_own_step_of_the_model_stays_compiled(k: Any) -> None:
    traced = []

    class Own(k.Model):
        def predict_step(self, data: Any) -> Any:
            traced.append(tf.executing_eagerly())
            return super().predict_step(data)

    inputs = k.Input((3,))
    model = Own(inputs, k.layers.Dense(2)(inputs))
    found = disteval.predict(
        model, X, batch_size=4, postprocess=lambda outputs, batch: outputs.numpy() + 1, eager=True
    )
    np.testing.assert_allclose(found, model(X).numpy() + 1, atol=1e-6)
    assert set(traced) == {False}
    assert len(traced) <= 2  # one more for the smaller last batch


@BOTH
def test_metrics_beside_an_infer_in_python(k: Any) -> None:
    model = small(k)
    model.compile("sgd", loss="mse", metrics=["mae"])
    expected = model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)
    found = {}
    for _ in range(2):  # the second time with the trace of the first
        found = disteval.inference.session.evaluate_once(
            "evaluate",
            model,
            (X, Y),
            {"infer": lambda model, batch: ["x"] * len(batch[0]), "eager": True},
            "single",
            {"batch_size": 4, "validate": True},
            disteval.inference.session.Loops(),
        )
    assert found.predictions.tolist() == [b"x"] * 23
    assert found.metrics == pytest.approx(expected, abs=1e-6)


def test_random_generators_are_as_they_were() -> None:
    model = small(tf.keras)

    def infer(model: Any, batch: Any) -> Any:
        return model(batch[0], training=True)

    first = disteval.predict(model, X, batch_size=4, infer=infer, eager=True)
    again = disteval.predict(model, X, batch_size=4, infer=infer, eager=True)
    traced = disteval.predict(model, X, batch_size=4, infer=infer)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, traced, atol=1e-6)


def test_several_replicas_of_one_process() -> None:
    check_replicas(BatchFunctions(), 2)
    check_replicas(BatchFunctions(eager=True), 1)
    with pytest.raises(DistEvalError, match=r"eager=True with 2 replicas.*horovodrun -np 2"):
        check_replicas(BatchFunctions(eager=True), 2)
