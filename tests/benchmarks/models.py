"""The models of the benchmarks, with random weights, and random inputs."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import tensorflow as tf

keras = tf.keras


def small_cnn() -> Any:
    """Returns a small model of 28x28 images, for which the overhead of a batch dominates."""
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
    """Returns a model of 1,000 features."""
    return keras.Sequential(
        [
            keras.Input((1000,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def mobilenet() -> Any:
    """Returns MobileNetV2 at 96x96, for which the computation of a batch dominates."""
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


def waiting(seconds: float) -> Any:
    """Returns a model that sleeps for each batch, like a device that leaves the host's cores free.

    Args:
        seconds: How long each batch takes.
    """

    def call(x: tf.Tensor) -> tf.Tensor:
        # Each replica traces this once, so it gets a lock: its device computes batch by batch.
        device = threading.Lock()

        def compute(x: np.ndarray) -> np.ndarray:
            with device:
                time.sleep(seconds)
            return x

        # If stateful, the operations of all replicas would run one after the other.
        outputs = tf.numpy_function(compute, [x], tf.float32, stateful=False)
        return tf.ensure_shape(outputs, x.shape)

    return keras.Sequential([keras.Input((1,)), keras.layers.Lambda(call)])


def inputs(model: Any, samples: int) -> np.ndarray:
    """Returns random inputs of a model; float32, `(samples, ...)`."""
    shape = model.inputs[0].shape[1:]
    return np.random.default_rng(0).random((samples, *shape), np.float32)
