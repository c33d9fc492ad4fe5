"""Measures what history and slices of 10,000 samples add to a version: built, and held up."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

import disteval

SAMPLES, CLASSES, VERSIONS = 10_000, 10, 4
keras = tf.keras
random = np.random.default_rng(0)
X = random.integers(0, 256, (SAMPLES, 8, 8, 1)).astype(np.uint8)
Y = random.integers(0, CLASSES, SAMPLES)
SLICES = {"light": random.choice(["dark", "dusk", "dawn", "bright"], SAMPLES)}


def evaluator(name: str, **options: Any) -> disteval.ClassificationEval:
    return disteval.ClassificationEval((X, Y), name=name, batch_size=500, **options)


keras.utils.set_random_seed(0)
layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(CLASSES, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
with wandb.init(project="history", id="cost"):
    plain = evaluator("plain", history=False)
    full = evaluator("full", slices=SLICES)
    built: dict[str, list[float]] = {"plain": [], "full": []}
    held: dict[str, list[float]] = {"plain": [], "full": []}
    with plain, full:
        for number in range(VERSIONS):
            for name, task in (("plain", plain), ("full", full)):
                model.layers[-1].kernel.assign(random.normal(size=(64, CLASSES)))
                started = time.perf_counter()
                task.evaluate(model, number)
                held[name].append(time.perf_counter() - started)
                started = time.perf_counter()
                task._publisher.finish()  # the next version is not built beside this one
                built[name].append(time.perf_counter() - started)
                task._publisher.drain()
figures: dict[str, Any] = {"chief": True}
for what, values in (("built", built), ("held", held)):
    # The first version is traced, and has to wait for the ground-truth table.
    middle = {name: statistics.median(values[name][1:]) for name in values}
    figures[what] = middle["full"] / middle["plain"]
print(json.dumps(figures))
