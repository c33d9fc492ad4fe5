"""Metrics that are no sums over batches are found on the first batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import disteval
from disteval.errors import MetricError
from metric_models import assert_equal, keras_metrics

keras = tf.keras
X = np.random.default_rng(0).uniform(1, 2, size=(24, 1)).astype(np.float32)
DATA = (X, X + np.arange(24, dtype=np.float32)[:, np.newaxis])
BOTH = pytest.mark.parametrize("k", [keras, tf_keras], ids=["Keras 3", "Keras 2"])


def compiled(k: Any, *metrics: Any, kind: Any = None, **options: Any) -> Any:
    """Returns a model that gives back its input."""
    inputs = k.Input((1,))
    model = (kind or k.Model)(inputs, k.layers.Rescaling(1.0)(inputs))
    model.compile("sgd", loss="mse", metrics=list(metrics), **options)
    return model


def planted(k: Any, update: Any, dtype: Any = None, start: Any = "zeros") -> Any:
    """Returns a metric with one variable, whose new value is `update(value, errors)`."""

    class Planted(k.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="planted")
            self.total = self.add_weight(
                shape=(), initializer=start, name="total", dtype=dtype or "float32"
            )

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            errors = tf.abs(tf.cast(y_true, y_pred.dtype) - y_pred)
            self.total.assign(update(tf.convert_to_tensor(self.total), errors))

        def result(self) -> Any:
            return tf.cast(self.total, tf.float32)

        def reset_state(self) -> None:
            self.total.assign(tf.cast(tf.fill((), 1 if start == "ones" else 0), self.total.dtype))

    return Planted()


NOT_SUMS = {
    "maximum": lambda total, errors: tf.maximum(total, tf.reduce_max(errors)),
    "last value": lambda total, errors: tf.reduce_mean(errors),
    "moving average": lambda total, errors: 0.9 * total + 0.1 * tf.reduce_mean(errors),
    "product": lambda total, errors: (total + 1) * tf.reduce_mean(errors),
}


@BOTH
@pytest.mark.parametrize("kind", NOT_SUMS)
def test_metrics_that_are_no_sums(k: Any, kind: str) -> None:
    model = compiled(k, planted(k, NOT_SUMS[kind]))
    with pytest.raises(MetricError, match="planted: its state after a batch is not the state"):
        disteval.evaluate(model, DATA)


@BOTH
def test_a_sum_of_ones_own(k: Any) -> None:
    model = compiled(k, planted(k, lambda total, errors: total + tf.reduce_sum(errors)))
    got = disteval.evaluate(model, DATA, batch_size=7)
    assert_equal(got, keras_metrics(model, DATA, 7))
    assert got["planted"] == pytest.approx(np.arange(24).sum())


@BOTH
def test_booleans(k: Any) -> None:
    any_error = lambda total, errors: total | tf.reduce_any(errors > 0)  # noqa: E731
    with pytest.raises(MetricError, match="planted: its state is boolean"):
        disteval.evaluate(compiled(k, planted(k, any_error, "bool")), DATA)


@BOTH
def test_a_state_that_starts_elsewhere(k: Any) -> None:
    add = lambda total, errors: total + tf.reduce_sum(errors)  # noqa: E731
    with pytest.raises(MetricError, match=r"planted: its state is not all zeros after reset_state"):
        disteval.evaluate(compiled(k, planted(k, add, start="ones")), DATA)


@BOTH
def test_a_value_that_no_metric_holds(k: Any) -> None:
    class Own(k.Model):
        def test_step(self, data: Any) -> dict[str, Any]:
            return super().test_step(data) | {"largest": tf.reduce_max(self(data[0]))}

    with pytest.raises(MetricError, match="largest: test_step returns it, and no metric in model"):
        disteval.evaluate(compiled(k, kind=Own), DATA)


@BOTH
def test_a_value_under_another_name(k: Any) -> None:
    class Own(k.Model):
        def test_step(self, data: Any) -> dict[str, Any]:
            results = super().test_step(data)
            return {"squares": results["loss"]}

    got = disteval.evaluate(compiled(k, kind=Own), DATA)
    assert got == {"squares": pytest.approx(np.square(np.arange(24)).mean())}


@BOTH
def test_results_computed_from_those_of_metrics(k: Any) -> None:
    class Own(k.Model):
        def get_metrics_result(self) -> dict[str, Any]:
            results = super().get_metrics_result()
            return results | {"root": results["loss"] ** 0.5}

    assert_equal(
        disteval.evaluate(compiled(k, kind=Own), (X, 2 * X), batch_size=7),
        keras_metrics(compiled(k, kind=Own), (X, 2 * X), 7),
    )


@BOTH
def test_a_variable_that_no_metric_owns(k: Any) -> None:
    class Counting(k.Model):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.count = self.add_weight(
                shape=(), initializer="zeros", name="count", trainable=False
            )

        def test_step(self, data: Any) -> Any:
            self.count.assign_add(1.0)
            return super().test_step(data)

    model = compiled(k, kind=Counting)
    with pytest.raises(MetricError, match=r"test_step writes .*count.*, which no metric"):
        disteval.evaluate(model, DATA)
    assert float(model.count) == 0


@BOTH
def test_a_variable_of_tensorflow(k: Any) -> None:
    count = tf.Variable(0.0, trainable=False, name="count")

    class Counting(k.Model):
        def test_step(self, data: Any) -> Any:
            count.assign_add(1.0)
            return super().test_step(data)

    with pytest.raises(MetricError, match=r"test_step writes .*, which no metric"):
        disteval.evaluate(compiled(k, kind=Counting), DATA)
    assert float(count) == 0


@BOTH
def test_test_step_has_to_return_a_dictionary(k: Any) -> None:
    class Own(k.Model):
        def test_step(self, data: Any) -> Any:
            return tf.reduce_mean(self(data[0]))

    with pytest.raises(MetricError, match=r"test_step returned a .*Return a dictionary"):
        disteval.evaluate(compiled(k, kind=Own), DATA)


@BOTH
def test_a_test_step_that_fails(k: Any) -> None:
    class Own(k.Model):
        def test_step(self, data: Any) -> Any:
            raise RuntimeError("planted")

    with pytest.raises(
        MetricError, match=r"(?s)test_step failed on the first batch, with RuntimeError.*planted"
    ):
        disteval.evaluate(compiled(k, kind=Own), DATA)


def test_no_batch_is_run_to_examine_what_keras_made() -> None:
    batches = []

    class Counted(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            outputs = tf.numpy_function(self.add, [x], tf.float32, stateful=False)
            outputs.set_shape(x.shape)
            return outputs

        def add(self, x: Any) -> Any:
            batches.append(len(x))
            return x

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    inputs = keras.Input((1,))
    model = keras.Model(inputs, Counted()(inputs))
    model.compile(loss="mse", metrics=["mae"])
    disteval.evaluate(model, DATA, batch_size=10)
    assert batches == [10, 10, 4]


def test_metrics_that_each_step_makes_anew() -> None:
    class Making(keras.Model):
        def test_step(self, data: Any) -> Any:
            self.newest = keras.metrics.Mean(name="newest")
            self.newest.update_state(data[1])
            return super().test_step(data)

    with pytest.raises(MetricError, match="each call of test_step creates other metrics"):
        disteval.evaluate(compiled(keras, kind=Making), DATA)
