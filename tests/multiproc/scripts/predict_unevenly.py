"""A rank that is three times slower soon evaluates a third of what the other does."""

from __future__ import annotations

import threading
import time

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

keras = tf.keras
SAMPLES, BATCH = 240, 8
# Of a sample. The first evaluation takes 120 samples of the slow one: long enough to count.
SECONDS = {0: 0.002, 1: 0.006}

strategy = replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
if chief:
    wandb.init(mode="disabled")


def which_and_what(x: tf.Tensor) -> tf.Tensor:
    """Returns the rank that evaluated a sample, and the sample."""
    rank = disteval.get_backend(replicas.BACKEND).rank
    device = threading.Lock()  # one batch at a time

    def compute(x: np.ndarray) -> np.ndarray:
        with device:
            time.sleep(len(x) * SECONDS[rank])
        return np.stack([np.full(len(x), rank, np.float32), x[:, 0]], axis=-1)

    # Stateful operations of all replicas would run one after the other.
    return tf.ensure_shape(tf.numpy_function(compute, [x], tf.float32, stateful=False), (None, 2))


class Eval(disteval.DistEvalCallback):
    """Keeps how many samples each rank evaluated."""

    def add_ground_truth(self, logs=None):
        self.counts = []

    def add_model_predictions(self, epoch, logs=None):
        who, what = self.predictions.T
        np.testing.assert_array_equal(what, np.arange(SAMPLES))
        self.counts.append(np.bincount(who.astype(int)).tolist())


x = np.arange(SAMPLES, dtype=np.float32)[:, np.newaxis]
with strategy.scope():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(which_and_what)])
    model.compile(loss="mse")

for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(BATCH)):
    callback = Eval(
        ["x"], ["y"], validation_data=data, batch_size=BATCH, backend=replicas.BACKEND,
        asynchronous=False,
    )  # fmt: skip
    callbacks = keras.callbacks.CallbackList([callback], model=model)
    callbacks.on_train_begin()
    for epoch in range(4):
        callbacks.on_epoch_begin(epoch)
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()
    if chief:
        first, *_, last = callback.counts
        assert first == [120, 120]
        # A quarter of the samples, to a batch or so in each of a few rounds.
        assert 40 <= last[1] <= 80, callback.counts
print("balanced")
