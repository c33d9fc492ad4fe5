"""What the doctor runs in processes of their own.

`python -m disteval.selftest facts` imports everything, and prints what it finds as JSON;
`horovodrun -np 2 python -m disteval.selftest predict` evaluates on both ranks.
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


def facts() -> dict[str, Any]:
    """Returns what only an import tells."""
    # The name that Keras 3 and Keras 2 have in their modules: keras.src or tf_keras.src.
    package = tf.keras.Model.__module__.split(".")[0]
    return {
        "tensorflow": tf.__version__,
        # Keras 2 as tf.keras has no version of its own.
        "tf.keras": f"{package} {importlib.import_module(package).__version__}",
        "devices": [
            f"{len(devices)} {kind}"
            for kind in ("GPU", "CPU")
            if (devices := tf.config.list_physical_devices(kind))
        ],
        "backend": dict(zip(("name", "reason"), _backend(), strict=True)),
        "horovod": _horovod(),
    }


def _backend() -> tuple[str, str]:
    """Returns what `backend="auto"` chooses here, and why."""
    if int(os.environ.get("HOROVOD_SIZE", "1")) > 1:
        return "horovod", "horovodrun started this; a script has to call hvd.init()"
    backend = disteval.get_backend("auto")
    if backend.name == "multiworker":
        return backend.name, f"TF_CONFIG makes this rank {backend.rank} of {backend.size}"
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        return "single", f"until the model is built under a strategy for all {gpus} GPUs"
    return "single", "neither horovodrun nor TF_CONFIG, and one device"


def _horovod() -> dict[str, Any]:
    if importlib.util.find_spec("horovod") is None:
        return {"error": "not installed"}
    try:
        import horovod
        import horovod.tensorflow as hvd
    except Exception as error:  # a build for another TensorFlow fails in many ways
        return {"error": f"{type(error).__name__}: {error}"}
    built = {"Gloo": hvd.gloo_built, "MPI": hvd.mpi_built, "NCCL": hvd.nccl_built}
    return {
        "version": horovod.__version__,
        "features": [name for name, has in built.items() if has()],
    }


def predict() -> None:
    """Evaluates on all ranks, and compares with one."""
    import horovod.tensorflow as hvd

    hvd.init()
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(101, 4)).astype(np.float32)
    expected = model.predict_on_batch(x)
    predictions = disteval.predict(model, x, backend="horovod", verbose=0)
    if predictions is not None:
        np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-5)
        assert hvd.size() > 1


if __name__ == "__main__":
    if sys.argv[1] == "predict":
        predict()
    else:
        sys.stdout.write(json.dumps(facts()) + "\n")
