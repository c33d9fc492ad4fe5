"""The models that are evaluated, with random weights, and what they are evaluated on."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras


def small_cnn() -> Any:
    """28x28 images, one convolution: what a batch costs beside its computation shows."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def mlp() -> Any:
    """1,000 features."""
    return keras.Sequential(
        [
            keras.Input((1000,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def mobilenet() -> Any:
    """MobileNetV2 at 96x96: the computation of a batch is nearly all."""
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


def waiting(seconds: float) -> Any:
    """A model whose device computes for a given time for each batch, without a core of the host."""

    def call(x: tf.Tensor) -> tf.Tensor:
        # Of each trace, and so of each replica: its device computes one batch at a time.
        device = threading.Lock()

        def compute(x: np.ndarray) -> np.ndarray:
            with device:
                time.sleep(seconds)
            return x

        # Stateful operations of all replicas would run one after the other.
        outputs = tf.numpy_function(compute, [x], tf.float32, stateful=False)
        return tf.ensure_shape(outputs, x.shape)

    return keras.Sequential([keras.Input((1,)), keras.layers.Lambda(call)])


def inputs(model: Any, samples: int) -> np.ndarray:
    """Returns random input of a model, as float32."""
    shape = model.inputs[0].shape[1:]
    return np.random.default_rng(0).random((samples, *shape), np.float32)
