"""What differs on GPUs: memory, placement, mixed precision and XLA.

On logical CPU devices all of it runs, without the assertions on the memory of GPUs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
from disteval.inference.weights import _hash_all

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
on_gpu = replicas.DEVICE == "GPU"
keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(400, 8, 8, 3)).astype(np.float32)
Y = random.integers(0, 10, size=400)


def convolutions(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Conv2D(8, 3),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(10, dtype="float32"),
            ]
        )
        model.compile("sgd", "mse", **options)
    return model


def peak_memory() -> int:
    """Returns the most bytes that a GPU of this process held since the last call."""
    gpus = [device.name[-5:] for device in tf.config.list_logical_devices("GPU")]
    peak = max(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus)
    for gpu in gpus:
        tf.config.experimental.reset_memory_stats(gpu)
    return int(peak)


def predictions_leave_the_gpu_segment_by_segment() -> None:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        wide = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4096)])
    x = random.normal(size=(16_000, 1)).astype(np.float32)  # 262 MB of predictions
    disteval.predict(wide, x, backend=replicas.BACKEND)
    peaks = []
    for count in (4000, 16_000):
        if on_gpu:
            peak_memory()
        predictions = disteval.predict(wide, x[:count], backend=replicas.BACKEND)
        assert not backend.is_chief or predictions.shape == (count, 4096)
        if on_gpu:
            peaks.append(peak_memory())
    if on_gpu:
        print(f"peaks: {peaks} bytes for 4,000 and 16,000 samples")
        assert peaks[1] <= 1.2 * peaks[0] + (8 << 20), peaks


def input_is_read_ahead_onto_the_device_of_its_replica() -> None:
    seen = []

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        if tf.executing_eagerly():
            seen.append((batch[0].device[-5:], outputs.device[-5:]))
        return outputs

    model = convolutions(run_eagerly=True)
    disteval.predict(model, (X, Y), postprocess=postprocess, backend=replicas.BACKEND)
    local = range(backend.local_replicas)
    devices = {f"{replicas.DEVICE}:{i}" for i in local}
    if replicas.BACKEND == "mirrored":
        devices = {f"{replicas.DEVICE}:{i}" for i in range(replicas.REPLICAS)}
    assert {of_input for of_input, _ in seen} == devices, seen
    assert all(of_input == of_output for of_input, of_output in seen), seen


def mixed_precision_and_xla() -> None:
    policy = keras.mixed_precision.global_policy()
    expected = one_by_one(convolutions(), X)
    for jit_compile in (False, True):
        got = disteval.predict(
            convolutions(jit_compile=jit_compile), (X, Y), backend=replicas.BACKEND
        )
        if backend.is_chief:
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    keras.mixed_precision.set_global_policy("mixed_float16")
    got = disteval.predict(convolutions(), (X, Y), backend=replicas.BACKEND)
    if backend.is_chief:
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-2)
        assert np.abs(got - expected).max() > 0, "float16 is another precision"
    keras.mixed_precision.set_global_policy(policy)


def one_by_one(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Returns the outputs of a model on one device."""
    return np.concatenate([model(x[i : i + 32], training=False).numpy() for i in range(0, 400, 32)])


def fingerprints_do_not_depend_on_the_device() -> None:
    value = tf.constant(random.normal(size=(100, 100)).astype(np.float32))
    with tf.device("CPU:0"):
        on_host = _hash_all([tf.identity(value)]).numpy()
    with tf.device(f"{replicas.DEVICE}:0"):
        assert _hash_all([tf.identity(value)]).numpy() == on_host


if __name__ == "__main__":
    predictions_leave_the_gpu_segment_by_segment()
    input_is_read_ahead_onto_the_device_of_its_replica()
    mixed_precision_and_xla()
    fingerprints_do_not_depend_on_the_device()
    print("all passed")
