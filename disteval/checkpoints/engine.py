"""The replicas that the program runs on, started as a training script would start them."""

from __future__ import annotations

import os

import tensorflow as tf

from disteval.arguments import check_choice, check_positive
from disteval.backends.choice import NAMES
from disteval.errors import DistEvalError


def start_engine(backend: str, replicas: int | None) -> tf.distribute.Strategy:
    """Starts Horovod or a strategy, and returns the strategy in whose scope models are made.

    Args:
        backend: See `get_backend`. Auto is Horovod under `horovodrun`, the workers of `TF_CONFIG`,
            or all devices of this process.
        replicas: On how many devices of this process to run; `None` for all GPUs, or one CPU.

    Raises:
        DistEvalError: There are fewer devices, or each rank has one anyway.
    """
    check_choice("backend", backend, NAMES)
    if replicas is not None:
        check_positive("replicas", replicas)
    if backend == "auto":
        backend = _launched()
    if backend in ("horovod", "multiworker"):
        if replicas is not None:
            raise DistEvalError(
                "`--replicas` counts the devices of one process. Received: "
                f"--replicas {replicas} with the backend {backend!r}. Expected: without it; the "
                "launcher says how many ranks there are."
            )
        return _start_ranks(backend)
    gpus = tf.config.list_physical_devices("GPU")
    count = replicas or max(len(gpus), 1)
    if backend == "single" or count == 1:
        if count > 1 and replicas is not None:
            raise DistEvalError(
                f"The backend 'single' has one device. Received: --replicas {replicas}. Expected: "
                "--backend mirrored."
            )
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(_devices(count, len(gpus)))


def _launched() -> str:
    """Returns the engine that a launcher has chosen; `"mirrored"` without one."""
    size = os.environ.get("HOROVOD_SIZE", "")
    if size.isdigit() and int(size) > 1:
        return "horovod"
    from disteval.backends.multiworker import describes_workers

    return "multiworker" if describes_workers() else "mirrored"


def _start_ranks(backend: str) -> tf.distribute.Strategy:
    if backend == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    from disteval.backends.horovod import initialize

    initialize()
    return tf.distribute.get_strategy()


def _devices(count: int, gpus: int) -> list[str]:
    if gpus:
        if count > gpus:
            raise DistEvalError(
                f"There are too few GPUs. Received: --replicas {count}, and {gpus} GPUs that "
                f"TensorFlow sees. Expected: --replicas {gpus} at most."
            )
        return [f"GPU:{i}" for i in range(count)]
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(cpu, logical)
    return [f"CPU:{i}" for i in range(count)]
