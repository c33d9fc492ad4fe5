"""Engines that run an evaluation on several replicas.

`get_backend` chooses one; nothing else in the package knows which ones there are. To add an engine:

1. Write one file here, with a subclass of `Backend` if it is one process, or of
   `peers.PeerBackend` if it is several.

   - `name` and `strategy` go to `super().__init__`. `strategy` is the `tf.distribute.Strategy`
     whose replicas in this process evaluate the shard of this rank, each a part of it.
   - `rank` and `size` are properties, asked anew each time: the number of this process from 0, and
     how many there are. Rank 0 is the chief. `local_replicas` counts the replicas of this process
     and is the same on all ranks.
   - `_send(record, payload)` is one collective that every rank enters: the bytes of `record` (of
     any length, another one on each rank) reach all ranks, those of `payload` the chief.
     Agreements, signs of life, gathers and broadcasts are made of it. It has to work on a thread
     beside the collectives of a training, and wraps what blocks in `_run`, so that its failures
     become a `ReplicaError`. `horovod.py` is an example with a true gather, `multiworker.py` one
     without.
   - `_send_piece(piece)`, `_broadcast(value)` and `_whereabouts()` may be replaced by what is
     faster, and by something that tells where a silent rank was last seen.

   What the engine needs (a package, a launcher, a variable) is checked in `__init__`, with a
   `DistEvalError` that says what to do. Import the engine's package in its own file only.
2. Add its name to `NAMES`, and to `get_backend` when `"auto"` chooses it and why.
3. Add a way to launch it to `tests/multiproc/running.py` and `tests/multiproc/scripts/replicas.py`.
   `predict_exactly.py`, `train_with_tables.py` and the faults then run on it.
"""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf

from disteval.backends.local import Backend
from disteval.errors import DistEvalError

NAMES = ("auto", "single", "mirrored", "horovod", "multiworker")

# By their public names, which are not those of the classes behind them.
_STRATEGIES = {"mirrored": "MirroredStrategy", "multiworker": "MultiWorkerMirroredStrategy"}

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
            f"tf.distribute.{_STRATEGIES[backend]}. Received: a model of "
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
    for name, kind in _STRATEGIES.items():
        if isinstance(strategy, getattr(tf.distribute, kind)):
            return name
    return "single"


def _horovod_has_peers() -> bool:
    """Whether this script uses Horovod with others; never imports it."""
    hvd = sys.modules.get("horovod.tensorflow")
    return bool(hvd is not None and hvd.is_initialized() and hvd.size() > 1)
