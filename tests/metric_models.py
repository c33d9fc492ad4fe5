"""Compiled models of every kind, with data, whose metrics are compared with those of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

SAMPLES = 300
CLASSES = 4
_random = np.random.default_rng(0)
IMAGES = _random.normal(size=(SAMPLES, 6, 6, 1)).astype(np.float32)
LABELS = _random.integers(0, CLASSES, SAMPLES)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
WEIGHTS = _random.uniform(0.1, 2, SAMPLES).astype(np.float32)
TARGETS = (IMAGES.mean(axis=(1, 2)) + _random.normal(size=(SAMPLES, 1)) / 10).astype(np.float32)
TOKENS = np.where(_random.random((SAMPLES, 5)) < 0.4, 0, _random.integers(1, 9, (SAMPLES, 5)))
TOKENS[:, 0] = 3  # no sample is all padding
TAGS = TOKENS % 3


class Case(NamedTuple):
    """A model and its validation data.

    Attributes:
        build: Returns the compiled model of a version of Keras.
        data: `(x, y)` or `(x, y, sample_weight)` of all samples.
    """

    build: Callable[[Any], Any]
    data: tuple[Any, ...]


def features(keras: Any) -> tuple[Any, Any]:
    """Returns the input and the last hidden layer of a small convolutional network."""
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(3, 3, kernel_regularizer="l2", activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    return inputs, keras.layers.Flatten()(x)


def classifier(keras: Any) -> Any:
    inputs, x = features(keras)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    metrics = [
        "accuracy",
        keras.metrics.AUC(name="auc"),
        keras.metrics.F1Score(average="macro", name="f1"),
        keras.metrics.OneHotMeanIoU(CLASSES, name="iou"),
        keras.metrics.R2Score(name="r2"),
    ]
    weighted = ["accuracy", keras.metrics.AUC(name="auc_of_weighted")]
    model.compile("adam", "categorical_crossentropy", metrics=metrics, weighted_metrics=weighted)
    return model


def regression(keras: Any) -> Any:
    inputs, x = features(keras)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    metrics = [keras.metrics.RootMeanSquaredError(), keras.metrics.R2Score(name="r2")]
    if hasattr(keras.metrics, "PearsonCorrelation"):
        metrics.append(keras.metrics.PearsonCorrelation(axis=0, name="pearson"))
    model.compile("adam", "mse", metrics=metrics)
    return model


def masked(keras: Any) -> Any:
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    return model


def two_outputs(keras: Any) -> Any:
    inputs, x = features(keras)
    outputs = {
        "class": keras.layers.Dense(CLASSES, activation="softmax", name="class")(x),
        "value": keras.layers.Dense(1, name="value")(x),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        loss={"class": "sparse_categorical_crossentropy", "value": "mse"},
        loss_weights={"class": 0.3, "value": 2.0},
        metrics={"class": ["accuracy"], "value": ["mae"]},
    )
    return model


def summed_loss(keras: Any) -> Any:
    inputs, x = features(keras)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("adam", keras.losses.MeanSquaredError(reduction="sum"), metrics=["mae"])
    return model


def custom_loss(keras: Any) -> Any:
    def loss(y_true: Any, y_pred: Any) -> Any:
        errors = tf.square(tf.cast(y_true, y_pred.dtype) - y_pred)
        return tf.reduce_mean(errors) + tf.reduce_max(errors)

    inputs, x = features(keras)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile("adam", loss, metrics=["mse"])
    return model


def own_test_step(keras: Any) -> Any:
    """A model with a loss and a metric of its own."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = keras.layers.Flatten()
            self.dense = keras.layers.Dense(1, activity_regularizer="l1")
            self.distance = keras.metrics.Mean(name="distance")
            self.total = keras.metrics.Mean(name="loss")

        def call(self, x: Any, training: bool = False) -> Any:
            return self.dense(self.flatten(x))

        @property
        def metrics(self) -> list[Any]:
            return [self.total, self.distance]

        def test_step(self, data: Any) -> dict[str, Any]:
            x, y = data[:2]
            errors = tf.abs(y - self(x, training=False))
            self.distance.update_state(errors)
            self.total.update_state(tf.reduce_mean(errors) + sum(self.losses))
            return {"loss": self.total.result(), "distance": self.distance.result()}

    model = Own()
    model(IMAGES[:1])
    model.compile("adam")
    return model


CASES = {
    "classifier": Case(classifier, (IMAGES, ONE_HOT, WEIGHTS)),
    "regression": Case(regression, (IMAGES, TARGETS)),
    "masked": Case(masked, (TOKENS, TAGS)),
    "two outputs": Case(two_outputs, (IMAGES, {"class": LABELS, "value": TARGETS})),
    "summed loss": Case(summed_loss, (IMAGES, TARGETS)),
    "custom loss": Case(custom_loss, (IMAGES, TARGETS)),
    "own test_step": Case(own_test_step, (IMAGES, TARGETS)),
}


def first(data: Any, count: int) -> Any:
    """Returns the first samples of data."""
    return tf.nest.map_structure(lambda array: array[:count], data)


def keras_metrics(model: Any, data: Any, batch_size: int) -> dict[str, Any]:
    """Returns what Keras computes of the same batches on one device."""
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
    results: dict[str, Any] = model.evaluate(dataset, verbose=0, return_dict=True)
    return results


class Sums:
    """The metrics of a model on one device, with the states of the batches summed in float64.

    `evaluate` sums in float32, whose errors grow with the number of batches.

    Args:
        model: The model, whose metrics are overwritten.
        data: All data.
        batch_size: The size of the batches.
    """

    def __init__(self, model: Any, data: Any, batch_size: int) -> None:
        self._model, self._data, self._batch_size = model, data, batch_size
        # Two sizes that no batch has, so that the step is traced for any size, as in `evaluate`:
        # Keras weighs the losses of several outputs by the size of the batch if the trace knows it.
        count = len(tf.nest.flatten(data)[0])
        for size in (count, count - 1):
            model.test_on_batch(*first(data, size))
        metrics = model.metrics
        self._variables = list({id(v): v for m in metrics for v in m.variables}.values())
        self._up_to: list[list[Any]] = [[np.float64(0)] * len(self._variables)]

    def first(self, count: int) -> dict[str, Any]:
        """Returns the metrics of the first `count` samples."""
        full, rest = divmod(count, self._batch_size)
        while len(self._up_to) <= full:
            start = (len(self._up_to) - 1) * self._batch_size
            self._up_to.append(self._added(self._up_to[-1], start, start + self._batch_size))
        totals = self._up_to[full]
        if rest:
            totals = self._added(totals, count - rest, count)
        for variable, total in zip(self._variables, totals, strict=True):
            variable.assign(tf.cast(total, variable.dtype))
        flat: dict[str, Any] = {}
        for name, value in self._model.get_metrics_result().items():
            flat |= value if isinstance(value, dict) else {name: value}
        return {name: np.asarray(value) for name, value in flat.items()}

    def _added(self, totals: list[Any], start: int, stop: int) -> list[Any]:
        """Returns the sums after one more batch."""
        self._model.reset_metrics()
        batch = tf.nest.map_structure(lambda array: array[start:stop], self._data)
        self._model.test_on_batch(*batch)
        states = [np.asarray(variable, np.float64) for variable in self._variables]
        return [total + state for total, state in zip(totals, states, strict=True)]


def summed_in_float64(model: Any, data: Any, batch_size: int) -> dict[str, Any]:
    """Returns the metrics of all data; see `Sums`."""
    return Sums(model, data, batch_size).first(len(tf.nest.flatten(data)[0]))


def assert_equal(got: dict[str, Any], want: dict[str, Any], tolerance: float = 2.4e-7) -> float:
    """Compares metrics, and returns the largest difference, relative to values above 1."""
    assert got.keys() == want.keys(), (got, want)
    distances = {name: _distance(got[name], want[name]) for name in want}
    worst = max(distances, key=lambda name: distances[name])
    assert distances[worst] <= tolerance, (worst, got[worst], want[worst])
    return distances[worst]


def _distance(got: Any, want: Any) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert (np.isnan(got) == np.isnan(want)).all(), (got, want)
    relative = np.abs(got - want) / np.maximum(1, np.abs(want))
    return float(np.max(np.nan_to_num(relative), initial=0))
