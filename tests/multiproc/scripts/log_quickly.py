"""Measures 10,000 rows: what the training thread waits for, and `"row"` beside the base class."""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbEvalCallback

import disteval

# The base class uploads and downloads its images one by one: fewer rows are enough for it.
ROWS, BASE_ROWS = 10_000, 1_000
EPOCHS = 7
DATA_COLUMNS = ["index", "image", "label"]
PRED_COLUMNS = ["epoch", *DATA_COLUMNS, "score"]

random = np.random.default_rng(0)
X = random.integers(0, 256, size=(ROWS, 4, 4, 1)).astype(np.uint8)
Y = np.arange(ROWS) % 10
held = []


class Row(disteval.DistEvalCallback):
    def add_ground_truth(self, logs=None):
        for index, (image, label) in enumerate(self.samples()):
            self.data_table.add_data(index, wandb.Image(image), label)

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(score=self.predictions[:, 0])

    def on_epoch_begin(self, epoch, logs=None):
        # A version is built faster than an epoch of a training that is worth it.
        self._writer.drain()
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        started = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        phases = self._newest.metadata["seconds"]
        held.append(time.perf_counter() - started - phases["inference"] - phases["gather"])


class Base(WandbEvalCallback):
    def add_ground_truth(self, logs=None):
        for index in range(BASE_ROWS):
            self.data_table.add_data(index, wandb.Image(X[index]), int(Y[index]))

    def add_model_predictions(self, epoch, logs=None):
        for index in self.data_table_ref.get_index():
            truth = self.data_table_ref.data[index]
            self.pred_table.add_data(epoch, *truth, float(index))


def cpu_seconds_of_base() -> float:
    """What `add_data` and `artifact.add` take of this thread for `BASE_ROWS`."""
    callback = Base(DATA_COLUMNS, PRED_COLUMNS)
    callback.on_train_begin()
    started = time.thread_time()
    callback.init_pred_table(PRED_COLUMNS)
    callback.add_model_predictions(0)
    wandb.Artifact("base", type="evaluation").add(callback.pred_table, "eval_data")
    return time.thread_time() - started


def cpu_seconds_of_row(callback: Row) -> float:
    """The same for `ROWS`, with what it takes to get them to disk."""
    started = time.thread_time()
    callback._build_pred_table(callback._newest)
    return time.thread_time() - started


with wandb.init(project="logging", id="quickly"):
    model = tf.keras.Sequential(
        [
            tf.keras.Input((4, 4, 1)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(1),
        ]
    )
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    callback = Row(
        DATA_COLUMNS, PRED_COLUMNS, validation_data=(X, Y), batch_size=500, reference="row"
    )
    model.fit(X, Y, batch_size=500, epochs=EPOCHS, verbose=0, callbacks=[callback])
    row = min(cpu_seconds_of_row(callback) for _ in range(3)) / ROWS
    base = cpu_seconds_of_base() / BASE_ROWS
print(json.dumps({"held": statistics.median(held), "all": held, "faster": base / row}))
