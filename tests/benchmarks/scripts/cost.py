"""Time and memory of an evaluation, for growing numbers of samples."""

from __future__ import annotations

import statistics
import sys
import time

import horovod.tensorflow as hvd
import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import PeakMemory, emit

QUICK = "--quick" in sys.argv
REPETITIONS = 1 if QUICK else 3
SIZES = [1000, 10_000, 100_000] if QUICK else [1000, 10_000, 100_000, 1_000_000]

replicas.start()
backend = disteval.get_backend("horovod")
keras = tf.keras
keras.utils.set_random_seed(0)  # the same weights on all ranks
model = keras.Sequential(
    [keras.Input((16,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(100)]
)
x = models.inputs(model, SIZES[-1])


def predict(samples: int) -> object:
    return disteval.predict(model, x[:samples], batch_size=256, backend="horovod")


predict(SIZES[0])
predict(SIZES[1])
for samples in SIZES:
    seconds = []
    with PeakMemory() as peak:
        predictions = predict(samples)
        del predictions
    for _ in range(REPETITIONS):
        backend.agree("a barrier")
        started = time.perf_counter()
        predict(samples)
        seconds.append(time.perf_counter() - started)
    grown = hvd.allgather_object(peak.grown)
    if backend.is_chief:
        emit("cost", f"{samples:,} samples, {backend.size} ranks", "ms",
             1000 * statistics.median(seconds), samples=samples, ranks=backend.size,
             megabytes=samples * 400 / 1e6, grown=grown)  # fmt: skip
