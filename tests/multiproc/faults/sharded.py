"""Scenarios: a pipeline of `disteval.sharded` that does not make one sample of each element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

import disteval
from multiproc.faults.training import SAMPLES, Eval, Training, X, Y

Dataset = tf.data.Dataset
BEGIN = "on_train_begin"


class WithoutImages(Eval):
    """Reads no samples for its table, which would find the fault before the evaluation."""

    def add_ground_truth(self, logs=None):
        for i in range(SAMPLES):
            self.data_table.add_data(str(i), i)


def _fit(training: Training, pipeline: Callable[[Dataset], Dataset], when: str = BEGIN) -> None:
    data = disteval.sharded((X, Y), lambda elements: pipeline(elements).batch(4))
    number = None if when == BEGIN else 0
    training.fit(data, callback=WithoutImages, before=[training.at(when, number)])


def sharded_filters(training: Training) -> None:
    _fit(training, lambda d: d.filter(lambda x, y: tf.reduce_any(x != X[1])))


def sharded_filters_at_last(training: Training) -> None:
    _fit(training, lambda d: d.filter(lambda x, y: tf.reduce_any(x != X[-1])), "on_epoch_end")


def sharded_repeats(training: Training) -> None:
    _fit(training, lambda d: d.repeat(2))


def sharded_shuffles(training: Training) -> None:
    _fit(training, lambda d: d.shuffle(4))


def sharded_raises_on_one_element(training: Training) -> None:
    def decode(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        bad = tf.reduce_all(x == X[-1])
        with tf.control_dependencies([tf.debugging.assert_equal(bad, False, "a bad image")]):
            return tf.identity(x), y

    _fit(training, lambda d: d.map(decode, num_parallel_calls=2), "on_epoch_end")


def sharded_elements_in_another_order(training: Training) -> None:
    order = np.random.default_rng(training.is_last).permutation(SAMPLES)
    data = disteval.sharded((X[order], Y[order]), lambda elements: elements.batch(4))
    training.fit(data, callback=WithoutImages, before=[training.at(BEGIN)])
