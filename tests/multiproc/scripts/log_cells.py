"""Logs cells of all kinds, whole or spread over several tables, with references of both kinds."""

from __future__ import annotations

import argparse

import ml_dtypes
import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

parser = argparse.ArgumentParser()
parser.add_argument("run_id")
parser.add_argument("--reference", default="media")
parser.add_argument("--partitions", type=int, default=1)
args = parser.parse_args()

ROWS = 5
X = np.arange(ROWS * 12, dtype=np.uint8).reshape(ROWS, 2, 2, 3)
# One of each kind for each row; `log_read.py` reads them back.
CELLS = {
    "int64": np.array([-(2**53), -1, 0, 1, 2**53]),
    "float32": np.array([0.1, -0.0, 1e-45, 3e38, 1 / 3], np.float32),
    "bfloat16": np.array([0.1, 1, 2, 3, 4], ml_dtypes.bfloat16),
    "bool": np.array([True, False, True, False, True]),
    "text": np.array([b"a", "ü".encode(), b"", b"\xff", b"e"], object),
    "not finite": np.array([np.nan, 1.0, np.inf, -np.inf, 2.0]),
    "none": [None, 1.5, None, 2.5, None],
    "vector": np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3),
    "ragged": tf.ragged.constant([[1], [], [2, 3], [4, 5, 6], []], tf.int32),
    "nested": [{"box": np.array([1, 2]), "score": np.float32(0.5)}] * ROWS,
}


class Eval(disteval.DistEvalCallback):
    def add_ground_truth(self, logs=None):
        for x, y in self.samples():
            self.data_table.add_data(wandb.Image(x), y)

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(sum=self.predictions[:, 0], **CELLS)


replicas.start()
if disteval.get_backend(replicas.BACKEND).is_chief:
    wandb.init(project="logging", id=args.run_id)
model = tf.keras.Sequential(
    [
        tf.keras.Input((2, 2, 3)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
    ]
)
model.compile(tf.keras.optimizers.SGD(0.0), "mse")
callback = Eval(
    ["image", "label"],
    ["epoch", "image", "label", "sum", *CELLS],
    validation_data=(X, np.arange(ROWS)),
    reference=args.reference,
    partitions=args.partitions,
    backend=replicas.BACKEND,
    batch_size=2,
)
model.fit(X, np.arange(ROWS), epochs=2, verbose=0, callbacks=[callback])
if disteval.get_backend(replicas.BACKEND).is_chief:
    wandb.finish()
