"""Which engine runs an evaluation, as a table of decisions."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, NamedTuple

import tensorflow as tf

from disteval.arguments import check_choice, check_positive
from disteval.backends.base import Backend
from disteval.backends.local import LocalBackend
from disteval.errors import DistEvalError

NAMES = ("auto", "single", "mirrored", "horovod", "multiworker")

# By their public names, which are not those of the classes behind them.
_STRATEGIES = {"mirrored": "MirroredStrategy", "multiworker": "MultiWorkerMirroredStrategy"}


class Rule(NamedTuple):
    """A row of the table. `None` fits anything.

    Attributes:
        backend: The engine that was asked for.
        horovod: Whether Horovod is initialized and has several ranks.
        strategy: The strategy of the model, or the one in scope if there is no model.
        model: Whether there is a model.
        workers: Whether `TF_CONFIG` names several workers.
        engine: The engine that results; `None` if there is none.
    """

    backend: str
    horovod: bool | None
    strategy: str | None
    model: bool | None
    workers: bool | None
    engine: str | None


# The first row that fits counts. A callback asks without a model, outside of any scope, before it
# is trained: then the engine that was asked for is believed, and `TF_CONFIG` tells of workers.
RULES = (
    #    backend        horovod strategy       model  workers  engine
    Rule("horovod",     None,   None,          None,  None,    "horovod"),
    Rule("auto",        True,   None,          None,  None,    "horovod"),
    Rule("single",      None,   None,          None,  None,    "single"),
    Rule("mirrored",    None,   "mirrored",    None,  None,    "mirrored"),
    Rule("mirrored",    None,   None,          False, None,    "mirrored"),
    Rule("mirrored",    None,   None,          True,  None,    None),
    Rule("multiworker", None,   "multiworker", None,  None,    "multiworker"),
    Rule("multiworker", None,   None,          False, None,    "multiworker"),
    Rule("multiworker", None,   None,          True,  None,    None),
    Rule("auto",        False,  "mirrored",    None,  None,    "mirrored"),
    Rule("auto",        False,  "multiworker", None,  None,    "multiworker"),
    Rule("auto",        False,  "single",      False, True,    "multiworker"),
    Rule("auto",        False,  "single",      None,  None,    "single"),
)  # fmt: skip


def decide(backend: str, *, horovod: bool, strategy: str, model: bool, workers: bool) -> str | None:
    """Returns the engine that the table gives; see `Rule` for the arguments."""
    facts = (backend, horovod, strategy, model, workers)
    for rule in RULES:
        if all(expected in (None, fact) for expected, fact in zip(rule, facts, strict=False)):
            return rule.engine
    raise AssertionError(facts)


def get_backend(backend: str = "auto", *, model: Any = None, timeout: float = 600) -> Backend:
    """Returns the engine that an evaluation would run on, here and now.

    It is made anew for each evaluation, because rank and size may change between two of them.

    Args:
        backend: `"auto"`, `"single"`, `"mirrored"`, `"horovod"` or `"multiworker"`. Auto is
            Horovod if the script imported and initialized it and its size is above 1; else the
            strategy of `model`; else a single device.
        model: The Keras model, for its strategy. Without a model, the strategy in scope counts,
            and outside of any scope the workers of `TF_CONFIG`.
        timeout: Seconds to wait for other ranks before an error.

    Returns:
        A backend with `name`, `rank`, `size`, `num_replicas` and `is_chief`.

    Raises:
        DistEvalError: `backend` is unknown, or what it needs is missing; or `horovodrun` started
            several ranks, and this one has not called `hvd.init()`.
    """
    check_choice("backend", backend, NAMES)
    check_positive("timeout", timeout, float)
    if timeout > threading.TIMEOUT_MAX:
        raise DistEvalError(
            f"`timeout` is too long to wait for. Received: timeout={timeout!r}. Expected: a number "
            "of seconds, such as 86400 for a day."
        )
    if backend == "auto":
        _check_initialized()
    horovod = _horovod_has_peers()
    # Horovod has replicas of its own, so that the model need not be asked for its strategy.
    by_horovod = backend == "horovod" or (backend == "auto" and horovod)
    strategy = tf.distribute.get_strategy() if by_horovod else _strategy_of(model)
    kind = _kind_of(strategy)
    # TF_CONFIG is read only where it decides: on many platforms it is set for other purposes.
    workers = backend == "auto" and not horovod and model is None and _describes_workers()
    engine = decide(
        backend, horovod=horovod, strategy=kind, model=model is not None, workers=workers
    )
    if engine is None:
        raise DistEvalError(
            f'backend="{backend}" needs a model that was built in the scope of a '
            f"tf.distribute.{_STRATEGIES[backend]}. Received: a model of "
            f"{type(strategy).__name__}. Expected: a model built in `with strategy.scope():`, or "
            'backend="auto".'
        )
    if engine == "horovod":
        from disteval.backends.horovod import HorovodBackend

        return HorovodBackend(timeout=timeout)
    if engine == "multiworker":
        from disteval.backends.multiworker import MultiWorkerBackend

        return MultiWorkerBackend(strategy if kind == "multiworker" else None, timeout)
    if engine == "single" and kind != "single":
        strategy = tf.distribute.OneDeviceStrategy(strategy.extended.worker_devices[0])
    return LocalBackend(engine, strategy)


def _strategy_of(model: Any) -> tf.distribute.Strategy:
    """Returns the strategy of a model, or the one in scope if there is no model."""
    if model is None:
        return tf.distribute.get_strategy()
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        raise DistEvalError(
            "The model has no tf.distribute strategy. Received: a model of type "
            f"{type(model).__name__}. Expected: a Keras model on the TensorFlow backend (with "
            'Keras 3, KERAS_BACKEND="tensorflow").'
        )
    return strategy


def _kind_of(strategy: tf.distribute.Strategy) -> str:
    for name, kind in _STRATEGIES.items():
        if isinstance(strategy, getattr(tf.distribute, kind)):
            return name
    return "single"


def _check_initialized() -> None:
    """Raises if `horovodrun` started this process as one of several, and it is on its own."""
    size = os.environ.get("HOROVOD_SIZE", "1")
    if size.isdigit() and int(size) > 1 and _initialized_horovod() is None:
        # Each rank would be a chief of its own: trainings, runs and tables, each of them N times.
        raise DistEvalError(
            "Horovod is not initialized on a rank that `horovodrun` started. Received: "
            f'backend="auto" with {size} ranks (HOROVOD_SIZE). Expected: `hvd.init()` of '
            'horovod.tensorflow is called before; or backend="single", if each process trains on '
            "its own."
        )


def _horovod_has_peers() -> bool:
    """Whether this script uses Horovod with several ranks."""
    hvd = _initialized_horovod()
    return hvd is not None and bool(hvd.size() > 1)


def _initialized_horovod() -> Any:
    """Returns Horovod if this script imported and initialized it, else `None`; never imports it."""
    hvd = sys.modules.get("horovod.tensorflow")
    return hvd if hvd is not None and hvd.is_initialized() else None


def _describes_workers() -> bool:
    from disteval.backends.multiworker import describes_workers

    return describes_workers()
