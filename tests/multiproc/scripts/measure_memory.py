"""Measures how much the memory of each rank grows in an evaluation with large outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import disteval
import replicas
from disteval.segments import shard_bounds

# 200 MB of predictions from 40 kB of input, so that next to nothing else takes memory.
SAMPLES, VALUES = 10_000, 5_000
MEGABYTE = 10**6


def peak() -> float:
    """Returns the most memory that this process held since the last call, in MB."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MEGABYTE


def postprocess(outputs: tf.Tensor, batch: object) -> tf.Tensor:
    return tf.tile(outputs, [1, VALUES])


replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Rescaling(2.0)])
x = np.arange(SAMPLES, dtype=np.float32)[:, np.newaxis]

# The warm-up traces the loop and makes what Horovod and TensorFlow make once.
disteval.predict(model, x, num_samples=100, postprocess=postprocess)
peak()
before = peak()
grown = []
for _ in range(3):  # memory that malloc keeps after the first one counts for the others
    predictions = None
    predictions = disteval.predict(model, x, postprocess=postprocess)
    grown.append(peak() - before)

start, stop = shard_bounds(SAMPLES, backend.rank, backend.size)
rows = stop - start
if backend.is_chief:
    rows = SAMPLES
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
    "held": rows * VALUES * 4 / MEGABYTE,
}
# In one write, so that the lines of two ranks do not mix.
sys.stdout.write(f"memory {json.dumps(report)}\n")
