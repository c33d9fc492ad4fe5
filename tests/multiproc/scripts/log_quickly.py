"""Measures 10,000 rows: what the training thread waits for, and `"row"` beside the base class."""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
import wandb
from wandb.integration.keras import WandbEvalCallback

import disteval
from log_parts import make_model

# The base class uploads and downloads its images one by one: fewer rows are enough for it.
ROWS, BASE_ROWS = 10_000, 1_000
EPOCHS = 7
DATA_COLUMNS = ["index", "sample", "label"]
PRED_COLUMNS = ["epoch", *DATA_COLUMNS, "score"]

X = np.arange(ROWS, dtype=np.float32)[:, None]
Y = np.arange(ROWS) % 10
held: list[float] = []


class Row(disteval.DistEvalCallback):
    def add_ground_truth(self, logs=None):
        # The cost of a foreign key does not depend on the row that it refers to.
        for index, (x, label) in enumerate(self.samples()):
            self.data_table.add_data(index, f"sample {x}", label)

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(score=self.predictions[:, 0])

    def on_epoch_begin(self, epoch, logs=None):
        # A version is built faster than an epoch of a training that is worth it.
        self._publisher.finish()
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        started = time.perf_counter()
        super().on_epoch_end(epoch, logs)
        phases = self._publisher.newest.metadata["seconds"]
        held.append(time.perf_counter() - started - phases["inference"] - phases["gather"])


class Base(WandbEvalCallback):
    def add_ground_truth(self, logs=None):
        random = np.random.default_rng(0)
        for index, pixels in enumerate(random.integers(0, 256, size=(BASE_ROWS, 4, 4))):
            self.data_table.add_data(index, wandb.Image(pixels.astype(np.uint8)), int(Y[index]))

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
    """The same for `ROWS`, and also to write them to disk."""
    started = time.thread_time()
    callback._publisher._build_pred_table(callback._publisher.newest)
    return time.thread_time() - started


with wandb.init(project="logging", id="quickly"):
    model = make_model()
    callback = Row(
        DATA_COLUMNS, PRED_COLUMNS, validation_data=(X, Y), batch_size=500, reference="row"
    )
    model.fit(X, Y, batch_size=500, epochs=EPOCHS, verbose=0, callbacks=[callback])
    row = min(cpu_seconds_of_row(callback) for _ in range(3)) / ROWS
    base = cpu_seconds_of_base() / BASE_ROWS
print(json.dumps({"chief": True, "held": statistics.median(held), "faster": base / row}))
