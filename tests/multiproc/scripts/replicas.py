"""What every script starts with: the replicas that it was launched for."""

from __future__ import annotations

import os

import tensorflow as tf

BACKEND = os.environ["DISTEVAL_TEST_BACKEND"]
REPLICAS = int(os.environ["DISTEVAL_TEST_REPLICAS"])


def start() -> tf.distribute.Strategy:
    """Starts Horovod or makes logical devices, and returns the strategy to build models in."""
    if BACKEND == "horovod":
        import horovod.tensorflow as hvd

        hvd.init()
        assert hvd.size() == REPLICAS
    elif BACKEND == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
        tf.config.set_logical_device_configuration(cpu, logical)
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])
    elif BACKEND == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()
