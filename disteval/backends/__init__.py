"""Engines that run an evaluation on several replicas.

An engine is one file here, with a subclass of `Backend`; `get_backend` chooses one. A new engine
says who it is (`rank`, `size`), under which strategy its local replicas run, and how bytes
travel (`exchange`, `gather`, `broadcast`). Nothing else in the package knows the engines.
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf

from disteval.backends.local import Backend
from disteval.errors import DistEvalError

NAMES = ("auto", "single", "mirrored", "horovod", "multiworker")

_STRATEGIES: dict[str, type] = {
    "mirrored": tf.distribute.MirroredStrategy,
    "multiworker": tf.distribute.MultiWorkerMirroredStrategy,
}

__all__ = ["NAMES", "Backend", "get_backend"]


def get_backend(backend: str = "auto", *, model: Any = None, timeout: float = 600) -> Backend:
    """Returns the engine that an evaluation would run on, here and now.

    It is made anew for each evaluation, because rank and size may change between two of them.

    Args:
        backend: `"auto"`, `"single"`, `"mirrored"`, `"horovod"` or `"multiworker"`. Auto is
            Horovod if the script imported and initialized it and its size is above 1; else the
            strategy of `model`; else a single device.
        model: The Keras model, for its strategy; without one, the strategy in scope counts, and
            outside of any the workers of `TF_CONFIG`.
        timeout: Seconds to wait for other ranks before an error.

    Returns:
        A backend with `name`, `rank`, `size`, `num_replicas` and `is_chief`.

    Raises:
        DistEvalError: `backend` is unknown, or what it needs is not there.
    """
    if backend not in NAMES:
        raise DistEvalError(
            f"Unknown backend. Received: backend={backend!r}. Expected one of {', '.join(NAMES)}."
        )
    if backend == "horovod" or (backend == "auto" and _horovod_has_peers()):
        from disteval.backends.horovod import HorovodBackend

        return HorovodBackend(timeout=timeout)
    strategy = tf.distribute.get_strategy() if model is None else _strategy_of(model)
    name = _name_of(strategy)
    if backend in ("mirrored", "multiworker") and name != backend and model is not None:
        raise DistEvalError(
            f'backend="{backend}" needs a model that was built in the scope of a '
            f"tf.distribute.{_STRATEGIES[backend].__name__}. Received: a model of "
            f"{type(strategy).__name__}. Build it in `with strategy.scope():`, or use "
            'backend="auto".'
        )
    if backend in ("auto", "multiworker") and (name == "multiworker" or model is None):
        from disteval.backends.multiworker import MultiWorkerBackend, describes_workers

        if name == "multiworker":
            return MultiWorkerBackend(strategy, timeout)
        if name == "single" and (backend == "multiworker" or describes_workers()):
            # Outside of the scope, as where a callback is made: TF_CONFIG says who this is.
            return MultiWorkerBackend(None, timeout)
    if backend == "mirrored" or (name == "mirrored" and backend != "single"):
        return Backend("mirrored", strategy)
    if name == "single":
        return Backend("single", strategy)
    return Backend("single", tf.distribute.OneDeviceStrategy(strategy.extended.worker_devices[0]))


def _strategy_of(model: Any) -> tf.distribute.Strategy:
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        raise DistEvalError(
            f"Received: a model of type {type(model).__name__}. Expected: a Keras model on the "
            'TensorFlow backend (with Keras 3, KERAS_BACKEND="tensorflow").'
        )
    return strategy


def _name_of(strategy: tf.distribute.Strategy) -> str:
    """Returns the engine for a strategy."""
    return next(
        (name for name, kind in _STRATEGIES.items() if isinstance(strategy, kind)), "single"
    )


def _horovod_has_peers() -> bool:
    """Whether this script uses Horovod with others; never imports it."""
    hvd = sys.modules.get("horovod.tensorflow")
    return bool(hvd is not None and hvd.is_initialized() and hvd.size() > 1)
