"""Two ranks of one thread each, compared with two processes that never communicate."""

from __future__ import annotations

import sys
import time

import horovod.tensorflow as hvd
import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import emit, medians, ratio

QUICK = "--quick" in sys.argv
REPETITIONS = 3 if QUICK else 25
SAMPLES = 20_000 if QUICK else 100_000

replicas.start()
tf.keras.utils.set_random_seed(0)  # the same weights on both ranks
backend = disteval.get_backend("horovod")
model = models.small_cnn()
x = models.inputs(model, SAMPLES)
half = x[: len(x) // backend.size]


def timed(data: object, engine: str) -> float:
    """Returns the seconds of the slowest rank; all ranks start together."""
    backend.agree("a barrier")
    started = time.perf_counter()
    if data is not None:
        disteval.predict(model, data, backend=engine)
    return max(hvd.allgather_object(time.perf_counter() - started))


seconds: dict[str, list[float]] = {"together": [], "apart": [], "one": []}
for repetition in range(-2, REPETITIONS):
    taken = {
        "together": timed(x, "horovod"),
        "apart": timed(half, "single"),
        "one": timed(x if backend.is_chief else None, "single"),
    }
    if repetition >= 0:
        for name, value in taken.items():
            seconds[name].append(value)
if backend.is_chief:
    case = "real compute, 2 Horovod ranks of one thread"
    emit("scaling", case, "speed-up / that of two processes apart",
         ratio(seconds["apart"], seconds["together"]), seconds=medians(seconds))  # fmt: skip
    emit("scaling", case, "speed-up over 1", ratio(seconds["one"], seconds["together"]))
