"""The time to compare the weights of two ranks, relative to evaluating 1,000 samples."""

from __future__ import annotations

import statistics
import sys
import time

import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import emit
from disteval.inference.weights import ModelWeights

QUICK = "--quick" in sys.argv
SAMPLES, CHECKS = 1000, 5

replicas.start()
tf.keras.utils.set_random_seed(0)  # the same weights on both ranks
backend = disteval.get_backend("horovod")
# Images with a twelfth of ResNet50's usual pixels, so the evaluation is that much shorter.
model = tf.keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
x = models.inputs(model, SAMPLES // 10 if QUICK else SAMPLES)


def check() -> float:
    """Returns the seconds of one check, including its agreement."""
    started = time.perf_counter()
    with backend.together("a check") as agreement:
        weights = ModelWeights(model, backend)
        agreement.report = weights.report()
    assert weights.differing(agreement.reports) == {}
    return time.perf_counter() - started


check()
disteval.predict(model, x[:64], sync_weights="off")
started = time.perf_counter()
disteval.predict(model, x, sync_weights="off")
evaluation = (time.perf_counter() - started) * SAMPLES / len(x)
checks = [check() for _ in range(CHECKS)]
if backend.is_chief:
    emit("check", f"ResNet50, {SAMPLES:,} images 64x64", "check of weights / evaluation",
         statistics.median(checks) / evaluation,
         seconds={"check": statistics.median(checks), "evaluation": evaluation})  # fmt: skip
