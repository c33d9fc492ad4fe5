"""Texts of very unequal length are shared so that all ranks end together.

Lengths are drawn from a log-normal distribution. Each rank sleeps for each token of a padded batch.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
SAMPLES, BATCH, SECONDS = 512, 8, 2e-4
random = np.random.default_rng(0)
lengths = np.maximum(random.lognormal(4, 1, size=SAMPLES).astype(int), 1)
tokens = tf.RaggedTensor.from_row_lengths(random.integers(1, 99, size=lengths.sum()), lengths)
texts = np.array(["x" * length for length in lengths])
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((None,)), keras.layers.Embedding(99, 2)])
work, seconds = 0, 0.0


def infer(model: Any, batch: Any) -> np.ndarray:
    global work, seconds
    x = batch[0]
    if isinstance(x, tf.RaggedTensor):
        x = x.to_tensor()
    width = max(map(len, x.numpy())) if x.dtype == tf.string else x.shape[1]
    size = len(x) * width
    work, seconds = work + size, seconds + size * SECONDS
    time.sleep(size * SECONDS)
    return np.full(len(x), backend.rank)


dataset = tf.data.Dataset.from_tensor_slices(tokens)
sources = {
    "padded batches": dataset.map(lambda row: (row, 0)).padded_batch(BATCH),
    "ragged batches": dataset.ragged_batch(BATCH).map(lambda rows: (rows, 0 * rows)),
    "ragged array": tokens,
    "strings": texts,
    "sorted strings": np.sort(texts),
}
for name, data in sources.items():
    work, seconds = 0, 0.0
    found = disteval.predict(model, data, batch_size=BATCH, infer=infer, eager=True)
    with backend.together("counting") as agreement:
        agreement.report = [float(work), seconds]
    counted = np.array(agreement.reports)
    if backend.is_chief:
        assert len(found) == SAMPLES
        slowest, samples = counted[:, 0].max() / counted[:, 0].mean(), np.bincount(found)
        print(f"{name}: slowest / mean {slowest:.3f}, samples of each rank {samples.tolist()}")
        assert slowest <= 1.15, counted
print("shared evenly")
