"""The parts of the doctor that import TensorFlow and Horovod, as a program.

`python -m disteval.doctor.selftest facts` writes facts as JSON to stdout, and
`horovodrun -np 2 python -m disteval.doctor.selftest predict` evaluates on both ranks.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import disteval.tasks.base  # imports all that disteval needs, such as W&B and Pillow


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
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(101, 4)).astype(np.float32)
    expected = model.predict_on_batch(x)
    predictions = disteval.predict(model, x, backend="horovod", verbose=0)
    if predictions is not None:
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-5)
        assert hvd.size() > 1, "horovodrun started one rank only"


if __name__ == "__main__":
    if sys.argv[1] == "predict":
        predict()
    else:
        sys.stdout.write(json.dumps(facts()) + "\n")
