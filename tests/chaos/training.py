"""The job of a schedule, on each rank: it trains, and notes what it has seen.

Arguments: the schedule as JSON, a directory for notes, and the folder of the disk that is filled.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas
from chaos.events import Events
from chaos.schedules import HOOK, INFERENCE, READING, Schedule
from messages import Messages
from replicas_model import Averaged

SCHEDULE = Schedule.from_json(sys.argv[1])
DIRECTORY, DISK = Path(sys.argv[2]), Path(sys.argv[3])
# The batches of an epoch on each rank.
BATCHES, BATCH_SIZE = 4, 8
keras = tf.keras
random = np.random.default_rng(SCHEDULE.seed)
X = random.normal(size=(SCHEDULE.samples, 4)).astype(np.float32)
Y = random.normal(size=(SCHEDULE.samples, 2)).astype(np.float32)
TRAIN = random.normal(size=(BATCHES * BATCH_SIZE, 6)).astype(np.float32)

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
events = Events(SCHEDULE.faults, backend.rank, DIRECTORY, DISK)


class Eval(disteval.DistEvalCallback):
    """Logs the index and the outputs of each sample."""

    def postprocess(self, outputs, batch):
        def count(values):
            events.happen(INFERENCE)
            return values

        counted = tf.numpy_function(count, [outputs], tf.float32)
        counted.set_shape(outputs.shape)
        return counted

    def add_ground_truth(self, logs=None):
        for index, (_, y) in enumerate(self.samples()):
            self.data_table.add_data(index, float(y[0]))

    def add_model_predictions(self, epoch, logs=None):
        events.happen(HOOK)
        for index, row in enumerate(self.predictions):
            self.pred_table.add_data(index, float(row[0]), float(row[1]))


class Count(keras.callbacks.Callback):
    """Counts what happens in training, before the evaluation of the same moment."""

    def on_train_batch_end(self, batch, logs=None):
        events.happen("train batch")

    def on_epoch_end(self, epoch, logs=None):
        events.happen("epoch end")


class Note(keras.callbacks.Callback):
    """Notes the logs on each rank, and on the chief of each evaluation the model."""

    def __init__(self, evaluation: Eval) -> None:
        super().__init__()
        self._evaluation = evaluation
        self._newest: Any = None
        self._batches = 0
        self.logs: list[dict[str, float]] = []
        self.versions: list[dict[str, Any]] = []

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        self._note(f"step_{self._batches}")

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append({k: float(v) for k, v in logs.items() if k.startswith("val_")})
        self._note(f"epoch_{epoch}")

    def _note(self, name: str) -> None:
        if backend.is_chief and self._evaluation.predictions is not self._newest:
            self._newest = self._evaluation.predictions
            weights = [np.asarray(weight).tolist() for weight in self.model.get_weights()]
            metrics = {k: float(v) for k, v in self._evaluation.metrics.items()}
            self.versions.append({"name": name, "weights": weights, "metrics": metrics})


def read(index: Any) -> tuple[np.ndarray, np.ndarray]:
    events.happen(READING)
    return X[index], Y[index]


def read_tensors(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    x, y = tf.numpy_function(read, [index], (tf.float32, tf.float32))
    x.set_shape((4,))
    y.set_shape((2,))
    return x, y


class Batches(keras.utils.Sequence):
    """The data as a `PyDataset`, by the name that Keras 2 has for it, too."""

    def __len__(self):
        return -(-len(X) // SCHEDULE.batch_size)

    def __getitem__(self, number):
        return read(slice(number * SCHEDULE.batch_size, (number + 1) * SCHEDULE.batch_size))


def validation_data() -> Any:
    """Returns the data in the form that the schedule asks for."""

    def of_shard(index: int, count: int) -> tf.data.Dataset:
        indices = tf.data.Dataset.range(len(X)).shard(count, index)
        return indices.map(lambda i: (i, read_tensors(i)))

    def pipeline(indices: tf.data.Dataset) -> tf.data.Dataset:
        return indices.map(read_tensors).batch(SCHEDULE.batch_size)

    return {
        "arrays": lambda: (X, Y),
        "dataset": lambda: pipeline(tf.data.Dataset.range(len(X))),
        "py_dataset": Batches,
        "function": lambda: of_shard,
        "sharded": lambda: disteval.sharded(np.arange(len(X)), pipeline),
    }[SCHEDULE.data]()


def build_model() -> Any:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((4,))
        kind = Averaged if replicas.BACKEND == "horovod" else keras.Model
        model = kind(inputs, keras.layers.Dense(2)(inputs))
        model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    return model


def train(notes: dict[str, Any]) -> None:
    run = None
    if backend.is_chief:
        run = wandb.init(project="chaos", id=f"chaos-{SCHEDULE.seed}")
    evaluation = Eval(
        ["index", "target"],
        ["index", "first", "second"],
        validation_data=validation_data(),
        batch_size=None if SCHEDULE.data in ("dataset", "py_dataset") else SCHEDULE.batch_size,
        backend=replicas.BACKEND,
        log_freq=SCHEDULE.log_freq,
        asynchronous=SCHEDULE.asynchronous,
        validate=SCHEDULE.validate,
        monitor="val_loss" if SCHEDULE.validate else None,
        timeout=60,
    )
    note = Note(evaluation)
    notes |= {"logs": note.logs, "versions": note.versions}
    batches = SCHEDULE.evaluations * (SCHEDULE.log_freq if SCHEDULE.log_freq != "epoch" else 0)
    build_model().fit(
        TRAIN[:, :4],
        TRAIN[:, 4:],
        batch_size=BATCH_SIZE,
        epochs=-(-batches // BATCHES) or SCHEDULE.evaluations,
        verbose=0,
        callbacks=[Count(), evaluation, note],
    )
    if run is not None:
        run.finish()


messages = Messages()
notes: dict[str, Any] = {"error": None}
try:
    train(notes)
except BaseException as error:
    notes["error"] = f"{type(error).__name__}: {error}"
    raise
finally:
    threads = [thread.name for thread in threading.enumerate() if thread.name[:8] == "disteval"]
    threads = [name for name in threads if name != "disteval-pulse"]  # one, as long as the process
    notes |= {"warnings": messages.take(), "threads": threads}
    (DIRECTORY / f"rank-{backend.rank}.json").write_text(json.dumps(notes))
