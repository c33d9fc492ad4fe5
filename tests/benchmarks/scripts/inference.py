"""`disteval.predict` on one device, beside `model.predict`, W&B's tutorial and a loop by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
from benchmarks import models
from benchmarks.measure import emit, interleaved, medians, ratio

QUICK = "--quick" in sys.argv
REPETITIONS = 3 if QUICK else 9
# Model, samples, and samples for the one-by-one loop, whose time is linear in their number.
CASES = {
    "small CNN": (models.small_cnn, 20_000, 500 if QUICK else 2000),
    "MLP, 1,000 features": (models.mlp, 4000 if QUICK else 20_000, 500 if QUICK else 2000),
    "MobileNetV2 96x96": (models.mobilenet, 128 if QUICK else 1024, 16 if QUICK else 64),
}


def one_by_one(model: Any, x: np.ndarray) -> list[int]:
    """Predicts as in W&B's tutorial on `WandbEvalCallback`."""
    predictions = []
    for image in tf.data.Dataset.from_tensor_slices(x):
        prediction = model(tf.expand_dims(image, axis=0))
        predictions.append(tf.argmax(prediction, axis=-1).numpy()[0])
    return predictions


def loop_by_hand(model: Any, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the fastest inference there can be: a bare loop in the graph over the whole input."""

    @tf.function
    def loop(x: tf.Tensor) -> tf.Tensor:
        count = -(-tf.shape(x)[0] // batch_size)
        shape = [None, *model.outputs[0].shape[1:]]
        outputs = tf.TensorArray(tf.float32, count, infer_shape=False, element_shape=shape)
        for i in tf.range(count):
            batch = x[i * batch_size : (i + 1) * batch_size]
            outputs = outputs.write(i, model(batch, training=False))
        return outputs.concat()

    return lambda x: loop(tf.constant(x)).numpy()


for name, (build, samples, few) in CASES.items():
    tf.keras.utils.set_random_seed(0)
    model = build()
    x = models.inputs(model, samples)
    for batch_size in (32, 256):
        by_hand = loop_by_hand(model, batch_size)
        contenders = {
            "ours": lambda m=model, x=x, b=batch_size: disteval.predict(m, x, batch_size=b),
            "loop by hand": lambda f=by_hand, x=x: f(x),
            "model.predict": lambda m=model, x=x, b=batch_size: m.predict(
                x, batch_size=b, verbose=0
            ),
        }
        results = [run() for run in contenders.values()]
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], rtol=0, atol=1e-5)
        seconds = interleaved(contenders, REPETITIONS)
        if batch_size == 32:
            loops = interleaved({"": lambda m=model, x=x[:few]: one_by_one(m, x)}, 3, warm_ups=1)
            seconds["one by one"] = [s * samples / few for s in loops[""]]
        case, ours = f"{name}, batch {batch_size}", seconds["ours"]
        details = {"samples": samples, "seconds": medians(seconds)}
        emit("inference", case, "model.predict / ours", ratio(seconds["model.predict"], ours),
             **details)  # fmt: skip
        emit("inference", case, "ours / loop by hand", ratio(ours, seconds["loop by hand"]))
        if "one by one" in seconds:
            # A ratio of medians, since it did not run in turn with the others.
            value = details["seconds"]["one by one"] / details["seconds"]["ours"]
            emit("inference", case, "one by one / ours", value)
