"""Measures how much the memory of each rank grows in an evaluation with large outputs."""

from __future__ import annotations

import json
import resource
import sys

import numpy as np
import tensorflow as tf

import disteval
import replicas

# 200 MB of predictions from 80 kB of input, so that next to nothing else takes memory.
SAMPLES, VALUES = 10_000, 5_000
MEGABYTE = 10**6


def peak() -> float:
    """The most memory that this process ever held, in MB. It never falls."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    return tf.tile(outputs, [1, VALUES])


replicas.start()
model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Rescaling(2.0)])
x = np.arange(SAMPLES, dtype=np.float32)[:, None]
disteval.predict(model, (x, x), num_samples=100, postprocess=postprocess)
before = peak()
predictions = disteval.predict(model, (x, x), postprocess=postprocess)
grown = peak() - before

rank = disteval.get_backend(replicas.BACKEND).rank
if rank == 0:
    assert predictions.shape == (SAMPLES, VALUES)
    assert predictions.dtype == np.float32
    for column in (0, VALUES - 1):
        np.testing.assert_array_equal(predictions[:, column], 2 * x[:, 0])
    held = predictions.nbytes
else:
    assert predictions is None
    held = SAMPLES // replicas.REPLICAS * VALUES * 4
report = {"rank": rank, "grown": grown, "held": held / MEGABYTE}
# One write, so that the lines of two ranks do not mix.
sys.stdout.write(f"memory {json.dumps(report)}\n")
