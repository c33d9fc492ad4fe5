"""The last rank computes far longer than `timeout` before an evaluation, and is waited for.

Argument: a folder, in which the chief leaves a note once it knows that the rank is only slow.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

NOTE = Path(sys.argv[1]) / "known"
keras = tf.keras
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = np.arange(20) % 2
strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)


class Slow(keras.callbacks.Callback):
    """Holds the GIL, as tracing does, until the others have said that they go on waiting."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and backend.rank == backend.size - 1:
            while not NOTE.exists():
                sum(range(100_000))


class Known(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if f"ranks [{backend.size - 1}] compute something else" in record.getMessage():
            NOTE.touch()


if backend.is_chief:
    wandb.init(mode="disabled")
    logging.getLogger("disteval").addHandler(Known())
keras.utils.set_random_seed(0)
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
evaluation = disteval.ClassificationEval((X, Y), backend=replicas.BACKEND, timeout=6)
model.fit(X, Y, epochs=3, verbose=0, callbacks=[Slow(), evaluation])
assert NOTE.exists()
print("waited")
