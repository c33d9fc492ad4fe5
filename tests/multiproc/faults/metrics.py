"""Scenarios: metrics that fail, that differ, or that are not a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from multiproc.faults.training import Training, X, Y, keras


class Checked(keras.metrics.Metric):
    """The sum of the targets, which may not be negative."""

    def __init__(self) -> None:
        super().__init__(name="checked")
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        tf.debugging.assert_non_negative(y_true, message="a target is negative")
        self.total.assign_add(tf.cast(tf.reduce_sum(y_true), tf.float32))

    def result(self) -> Any:
        return self.total


def _compiled(training: Training, *metrics: Any, loss: Any = "mse") -> Any:
    model = training.model(keras.Sequential, 1)
    with training.strategy.scope():
        model.compile(keras.optimizers.SGD(0.0), loss, metrics=[*metrics], jit_compile=False)
    return model


def metric_raises_on_a_batch(training: Training) -> None:
    y = Y.copy()
    y[-1] = -1  # of the last shard
    model = _compiled(training, Checked())
    training.fit((X, y), model=model, before=[training.at("on_epoch_end", 0)])


def result_raises(training: Training) -> None:
    class Broken(Checked):
        is_broken = False

        def result(self) -> Any:
            if self.is_broken:
                raise RuntimeError("a metric without a value")
            return self.total

    def break_it(model: Any) -> None:
        metric.is_broken = True

    metric = Broken()
    model = _compiled(training, metric)
    training.fit(model=model, before=[training.at("on_epoch_end", 0, break_it)])


def metrics_differ(training: Training) -> None:
    metrics = ["mae", Checked()] if training.is_last else ["mae"]
    model = _compiled(training, *metrics)
    training.fit(model=model, validate=True, before=[training.at("on_train_begin")])


def metric_is_no_sum(training: Training) -> None:
    class Largest(Checked):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.total.assign(tf.maximum(self.total, tf.reduce_max(y_pred)))

    model = _compiled(training, Largest())
    training.fit(model=model, validate=True, before=[training.at("on_train_begin")])


def loss_is_not_a_number(training: Training) -> None:
    """Is no fault: all ranks see it, and can stop."""
    x = X.copy()
    x[-1] = np.nan  # of the last shard
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(logs["val_loss"])

    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1)
    training.fit((x, Y), model=_compiled(training), epochs=4, after=[Seen(), stopping])
    assert np.isnan(seen).all()
    assert len(seen) == 2
