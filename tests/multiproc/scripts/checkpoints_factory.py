"""The factories of the tests of `python -m disteval evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

import disteval

keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(37, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def build() -> Any:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


def make() -> disteval.RegressionEval:
    return disteval.RegressionEval((X, Y), batch_size=8, monitor="val_loss")


def make_with_build() -> Any:
    return make(), build
