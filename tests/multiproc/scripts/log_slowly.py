"""Measures epochs while the backend answers at once, and while each answer takes half a second."""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas
from log_parts import Eval, faults

BLOCK, BLOCKS = 5, 9
DELAY = 0.5

replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
seconds: dict[str, list[float]] = {"fast": [], "slow": []}


class Start(tf.keras.callbacks.Callback):
    """Makes the backend slow in every second block, and starts the clock of the epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if chief and epoch % BLOCK == 0:
            faults(delay=DELAY * (epoch // BLOCK % 2))
        disteval.get_backend(replicas.BACKEND).agree("start")
        callback.started = time.perf_counter()


class TimedEval(Eval):
    """The last callback: stops the clock."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch >= BLOCK:
            kind = ("fast", "slow")[epoch // BLOCK % 2]
            seconds[kind].append(time.perf_counter() - self.started)

    def on_train_end(self, logs=None):
        if chief:
            faults()
        super().on_train_end(logs)


if chief:
    wandb.init(project="logging", id="slowly")
x = np.ones((128, 1), np.float32)
layers = [tf.keras.layers.Dense(1024, activation="relu") for _ in range(3)]
model = tf.keras.Sequential([tf.keras.Input((1,)), *layers, tf.keras.layers.Dense(1)])
model.compile(tf.keras.optimizers.SGD(0.0), "mse")
model.set_weights([np.full_like(weight, 1e-3) for weight in model.get_weights()])
callback = TimedEval(200)
model.fit(
    np.tile(x, (8, 1)),
    np.zeros(1024),
    batch_size=64,
    epochs=BLOCK * BLOCKS,
    verbose=0,
    callbacks=[Start(), callback],
)
if chief:
    wandb.finish()
# By block, so that a busy moment of the machine meets both kinds.
medians = {
    kind: [statistics.median(values[i : i + BLOCK]) for i in range(0, len(values), BLOCK)]
    for kind, values in seconds.items()
}
ratios = [slow / fast for slow, fast in zip(medians["slow"], medians["fast"], strict=True)]
print(json.dumps({"chief": chief, "growth": statistics.median(ratios) - 1, **medians}))
