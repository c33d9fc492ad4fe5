"""Scenarios: ranks that are out of step, read other data, or hold other models."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from multiproc.faults.raising import SIGNATURE
from multiproc.faults.training import SAMPLES, Training, X, Y, keras

BEGIN = "on_train_begin"


def another_log_freq(training: Training) -> None:
    training.fit(log_freq=2 if training.is_last else "epoch", before=[training.at(BEGIN)])


def another_num_samples(training: Training) -> None:
    training.fit(num_samples=10 if training.is_last else None, before=[training.at(BEGIN)])


def another_batch_size(training: Training) -> None:
    training.fit(batch_size=8 if training.is_last else 4, before=[training.at(BEGIN)])


def another_initial_epoch(training: Training) -> None:
    training.fit(initial_epoch=1 if training.is_last else 0, before=[training.at(BEGIN)])


def one_epoch_more(training: Training) -> None:
    before = [training.at("on_epoch_end", 1)]
    training.fit(epochs=3 if training.is_last else 2, before=before)


def stop_training_on_one_rank(training: Training) -> None:
    def stop(model: keras.Model) -> None:
        model.stop_training = training.is_last

    training.fit(epochs=3, before=[training.at("on_epoch_end", 0, stop)])


def early_stopping_on_one_rank(training: Training) -> None:
    class RankLocal(keras.callbacks.EarlyStopping):
        """Watches a value that improves on all ranks but the last."""

        def on_epoch_end(self, epoch, logs=None):
            value = 1.0 if training.is_last else 1 / (epoch + 1)
            super().on_epoch_end(epoch, (logs or {}) | {"val_loss": value})

    before = [RankLocal(patience=1), training.at("on_epoch_end", 1)]
    training.fit(epochs=4, before=before)


def dataset_shuffles(training: Training) -> None:
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(SAMPLES).batch(4)
    training.fit(dataset, before=[training.at(BEGIN)])


def datasets_shuffled_apart(training: Training) -> None:
    seed = 1 + training.is_last
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    dataset = dataset.shuffle(SAMPLES, seed=seed, reshuffle_each_iteration=False).batch(4)
    training.fit(dataset, before=[training.at(BEGIN)])


def arrays_shuffled_apart(training: Training) -> None:
    order = np.random.default_rng(1 + training.is_last).permutation(SAMPLES)
    training.fit((X[order], Y[order]), before=[training.at(BEGIN)])


class Growing:
    """Batches of 4, and at some time one more."""

    def __init__(self) -> None:
        self.count = SAMPLES // 4

    def __call__(self):
        for _ in range(self.count):
            yield X[:4], Y[:4]

    def grow(self, model: keras.Model) -> None:
        self.count += 1


def dataset_grows(training: Training) -> None:
    batches = Growing()
    dataset = tf.data.Dataset.from_generator(batches, output_signature=SIGNATURE)
    training.fit(dataset, before=[training.at("on_epoch_end", 1, batches.grow)])


def dataset_grows_on_one_rank(training: Training) -> None:
    batches = Growing()

    def grow(model: keras.Model) -> None:
        batches.count += training.is_last  # by a batch that is the turn of the other rank

    dataset = tf.data.Dataset.from_generator(batches, output_signature=SIGNATURE)
    training.fit(dataset, before=[training.at("on_epoch_end", 1, grow)])


def _shift(training: Training, model: keras.Model) -> None:
    """Shifts a kernel by 1 on the last replica."""
    kernel = model.layers[0].kernel
    kernel = kernel if isinstance(kernel, tf.Variable) else kernel.value
    copies = training.strategy.experimental_local_results(kernel)
    if training.is_last:
        copies[-1].assign_add(tf.ones_like(copies[-1]))


def weights_diverge(training: Training) -> None:
    training.fit(before=[training.at("on_epoch_end", 0, lambda model: _shift(training, model))])


def weights_diverge_later(training: Training) -> None:
    training.fit(before=[training.at("on_epoch_end", 1, lambda model: _shift(training, model))])


def another_model(training: Training) -> None:
    more = [keras.layers.Dense(4)] if training.is_last else []
    before = [training.at("on_epoch_end", 0)]
    training.fit(model=training.model(keras.Sequential, 2, *more), before=before)


def another_width(training: Training) -> None:
    before = [training.at("on_epoch_end", 0)]
    training.fit(model=training.model(width=3 if training.is_last else 2), before=before)
