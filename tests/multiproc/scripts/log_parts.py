"""What the logging scripts share: a model whose predictions are known, and faults to inject."""

from __future__ import annotations

import json
import os
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import tensorflow as tf

import disteval
import replicas

_opener = build_opener(ProxyHandler({}))


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples 0, 1, 2, ..."""
    values = np.arange(rows, dtype=np.float32)
    return values[:, None], values


def make_model(**compile_options: object) -> tf.keras.Model:
    """A model that multiplies by one weight, which training leaves alone."""
    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1, use_bias=False)])
    model.compile(tf.keras.optimizers.SGD(0.0), "mse", **compile_options)
    return model


class Scale(tf.keras.callbacks.Callback):
    """Makes the model multiply by 1 in epoch 0, by 2 in epoch 1 and so on."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.set_weights([np.full((1, 1), epoch + 1, np.float32)])


class Eval(disteval.DistEvalCallback):
    """Two tables of plain cells; `score` is the number of the sample times the epoch, from 1."""

    def __init__(self, rows: int, **options: object) -> None:
        options = {"validation_data": data(rows), "batch_size": 256} | options
        super().__init__(
            ["index", "text"],
            ["epoch", "index", "text", "score"],
            backend=replicas.BACKEND,
            **options,
        )

    def add_ground_truth(self, logs=None):
        for index, _ in enumerate(self.samples()):
            self.data_table.add_data(index, f"sample {index}")

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(score=self.predictions[:, 0])


def faults(**plan: object) -> None:
    """Makes the backend of the test fail as planned; see `wandb_backend.faults`."""
    url = f"{os.environ['WANDB_BASE_URL']}/_faults"
    _opener.open(Request(url, json.dumps(plan).encode()), timeout=60).close()
