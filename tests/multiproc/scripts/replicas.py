"""What every script starts with: the replicas that it was launched for."""

from __future__ import annotations

import os

import tensorflow as tf

BACKEND = os.environ["DISTEVAL_TEST_BACKEND"]
DEVICE = os.environ.get("DISTEVAL_TEST_DEVICE", "CPU")  # or "GPU", for tests/gpu
REPLICAS = int(os.environ["DISTEVAL_TEST_REPLICAS"])


def start() -> tf.distribute.Strategy:
    """Starts Horovod or makes logical devices, and returns the strategy to build models in."""
    if BACKEND == "horovod":
        import horovod.tensorflow as hvd

        hvd.init()
        assert hvd.size() == REPLICAS
        use_devices(hvd.local_rank())
    elif DEVICE == "GPU":
        use_devices()
        if BACKEND == "mirrored":
            return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(REPLICAS)])
    elif BACKEND == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
        tf.config.set_logical_device_configuration(cpu, logical)
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])
    elif BACKEND == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def use_devices(number: int | None = None) -> None:
    """Prepares the GPUs if the test is for them: one of them, or all.

    Convolutions and products of matrices keep all bits of float32, which they are compared by.
    """
    if DEVICE == "CPU":
        tf.config.set_visible_devices([], "GPU")
        return
    gpus = tf.config.list_physical_devices("GPU")
    assert gpus, "TensorFlow sees no GPU"
    if number is not None:
        gpus = [gpus[number % len(gpus)]]
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_tensor_float_32_execution(False)
