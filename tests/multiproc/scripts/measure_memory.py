"""Measures how much the memory of each rank grows in evaluations with large outputs.

Argument: `predict`, or `callback` for evaluations at the ends of epochs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

# 200 MB of predictions from 40 kB of input, so that next to nothing else takes memory.
SAMPLES, VALUES = 10_000, 5_000
MEGABYTE = 10**6


def peak() -> float:
    """Returns the most memory that this process held since the last call, in MB."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MEGABYTE


# What this rank has evaluated. On a busy machine, the slower rank gets less to do.
evaluated = tf.Variable(0)


def postprocess(outputs: tf.Tensor, batch: object) -> tf.Tensor:
    evaluated.assign_add(tf.shape(outputs)[0])
    return tf.tile(outputs, [1, VALUES])


class Eval(disteval.DistEvalCallback):
    """Logs nothing."""

    def postprocess(self, outputs, batch):
        return postprocess(outputs, batch)

    def add_ground_truth(self, logs=None):
        pass

    def add_model_predictions(self, epoch, logs=None):
        pass


class Predict:
    """`predict`, with the predictions where the callback has them."""

    def on_epoch_end(self, epoch):
        self.predictions = None
        self.predictions = disteval.predict(model, x, postprocess=postprocess)


replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Rescaling(2.0)])
x = np.arange(SAMPLES, dtype=np.float32)[:, np.newaxis]

if sys.argv[1] == "callback":
    if backend.is_chief:
        wandb.init(mode="disabled")
    evaluation = Eval(["x"], ["y"], validation_data=x)
    model.compile()
    evaluation.set_model(model)
    evaluation.on_train_begin()
else:
    evaluation = Predict()

# The warm-up traces the loop and makes what Horovod and TensorFlow make once.
disteval.predict(model, x, num_samples=100, postprocess=postprocess)
peak()
before = peak()
grown, rows = [], []
for epoch in range(3):  # memory that malloc keeps after the first one counts for the others
    evaluated.assign(0)
    evaluation.on_epoch_end(epoch)
    grown.append(peak() - before)
    rows.append(SAMPLES if backend.is_chief else int(evaluated))

predictions = evaluation.predictions
if backend.is_chief:
    assert predictions.shape == (SAMPLES, VALUES)
    assert predictions.dtype == np.float32
    for column in (0, VALUES - 1):
        np.testing.assert_array_equal(predictions[:, column], 2 * x[:, 0])
else:
    assert predictions is None
report = {
    "rank": backend.rank,
    "grown": max(grown),
    "all": grown,
    "held": max(rows) * VALUES * 4 / MEGABYTE,
}
# In one write, so that the lines of two ranks do not mix.
sys.stdout.write(f"memory {json.dumps(report)}\n")
