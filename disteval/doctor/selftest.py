"""The parts of the doctor that import TensorFlow and Horovod, as a program.

`python -m disteval.doctor.selftest facts` writes facts as JSON to stdout,
`horovodrun -np 2 python -m disteval.doctor.selftest predict` evaluates on both ranks, and
`python -m disteval.doctor.selftest gpus` evaluates on each GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import disteval.tasks.base  # imports all that disteval needs, such as W&B and Pillow

# Samples that each device evaluates, and those that are compared with the CPU.
SAMPLES = 4096
COMPARED = 64


def facts() -> dict[str, Any]:
    """Returns facts that need TensorFlow and Horovod imported, by name."""
    # `keras` or `tf_keras`: modules of Keras 3 are below keras.src, of Keras 2 below tf_keras.src.
    package = tf.keras.Model.__module__.split(".")[0]
    return {
        "tensorflow": tf.__version__,
        # Read from the package, since tf.keras has no `__version__` under Keras 2.
        "tf.keras": f"{package} {importlib.import_module(package).__version__}",
        "devices": [
            f"{len(devices)} {kind}"
            for kind in ("GPU", "CPU")
            if (devices := tf.config.list_physical_devices(kind))
        ],
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "is_cuda_build": tf.test.is_built_with_cuda(),
        "backend": _backend(),
        "horovod": _horovod(),
    }


def _backend() -> dict[str, str]:
    """Returns the name of the backend that `backend="auto"` chooses, and the reason."""
    if int(os.environ.get("HOROVOD_SIZE", "1")) > 1:
        reason = "horovodrun started this; a script has to call hvd.init()"
        return {"name": "horovod", "reason": reason}
    backend = disteval.get_backend("auto")
    reason = "neither horovodrun nor TF_CONFIG, and one device"
    if backend.name == "multiworker":
        reason = f"TF_CONFIG makes this rank {backend.rank} of {backend.size}"
    elif (gpus := len(tf.config.list_physical_devices("GPU"))) > 1:
        reason = f"until the model is built under a strategy for all {gpus} GPUs"
    return {"name": backend.name, "reason": reason}


def _horovod() -> dict[str, Any]:
    if importlib.util.find_spec("horovod") is None:
        return {"error": "not installed"}
    try:
        import horovod
        import horovod.tensorflow as hvd
    except Exception as error:  # a Horovod built for another TensorFlow fails in many ways
        return {"error": f"{type(error).__name__}: {error}"}
    built = {"Gloo": hvd.gloo_built, "MPI": hvd.mpi_built, "NCCL": hvd.nccl_built}
    features = [name for name, is_built in built.items() if is_built()]
    return {"version": horovod.__version__, "features": features}


def predict() -> None:
    """Evaluates a model on all ranks, and compares with its outputs on one."""
    import horovod.tensorflow as hvd

    hvd.init()
    if gpus := tf.config.list_physical_devices("GPU"):
        own = gpus[hvd.local_rank() % len(gpus)]
        tf.config.set_visible_devices(own, "GPU")
        tf.config.experimental.set_memory_growth(own, True)  # both ranks may have the same one
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(101, 4)).astype(np.float32)
    expected = model.predict_on_batch(x)
    predictions = disteval.predict(model, x, backend="horovod", verbose=0)
    if predictions is not None:
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-5)
        assert hvd.size() > 1, "horovodrun started one rank only"


def evaluate_devices(kind: str) -> str:
    """Evaluates a model on all devices of a kind together, and on each alone.

    Returns:
        The samples per second and the peak memory of each device, in words.
    """
    # Else, newer GPUs round the inputs of convolutions to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    x = np.random.default_rng(0).random((SAMPLES, 32, 32, 3), np.float32)
    with tf.device("CPU:0"):
        expected = _convolutions()(x[:COMPARED]).numpy()
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        model = _convolutions()
    together = disteval.predict(model, x, backend="mirrored", verbose=0)
    np.testing.assert_allclose(together[:COMPARED], expected, rtol=0, atol=1e-4)
    lines = []
    for device in devices:
        with tf.distribute.OneDeviceStrategy(device).scope():
            alone = _convolutions()
            disteval.predict(alone, x, verbose=0)  # traces it
            started = time.monotonic()
            predictions = disteval.predict(alone, x, verbose=0)
        seconds = time.monotonic() - started
        np.testing.assert_allclose(predictions, together, rtol=0, atol=1e-4)
        peak = ""
        if kind == "GPU":
            used = tf.config.experimental.get_memory_info(device.rpartition("device:")[2])["peak"]
            peak = f", at most {used / 1e6:,.0f} MB"
        lines.append(f"{device[-5:]}: {SAMPLES / seconds:,.0f} samples/s{peak}")
    return "; ".join(lines)


def _convolutions() -> Any:
    """Returns a model with the same weights each time."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    hidden = [layers.Conv2D(32, 3, activation="relu") for _ in range(3)]
    return tf.keras.Sequential(
        [layers.Input((32, 32, 3)), *hidden, layers.Flatten(), layers.Dense(10)]
    )


if __name__ == "__main__":
    if sys.argv[1] == "predict":
        predict()
    elif sys.argv[1] == "gpus":
        sys.stdout.write(evaluate_devices("GPU") + "\n")
    else:
        sys.stdout.write(json.dumps(facts()) + "\n")
