"""Logging a version of the prediction table: the base class beside both kinds of references."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import wandb

from benchmarks import models
from benchmarks.callbacks import Ours, Tutorial, offline_run
from benchmarks.measure import emit, medians, ratio

QUICK = "--quick" in sys.argv
# Rows and repetitions.
SIZES = {1000: 2} if QUICK else {1000: 5, 10_000: 5, 100_000: 1}


class Logged:
    """Records the artifacts that a run logs."""

    def __init__(self, run: Any) -> None:
        self.newest: Any = None
        self.event = threading.Event()
        log = run.log_artifact

        def log_artifact(artifact: Any, *args: Any, **kwargs: Any) -> Any:
            logged = log(artifact, *args, **kwargs)
            self.newest = artifact
            self.event.set()
            return logged

        run.log_artifact = log_artifact

    def size(self) -> dict[str, int]:
        """Returns entries and bytes of the newest manifest; references hold no bytes."""
        entries = self.newest.manifest.entries.values()
        return {"entries": len(entries), "bytes": sum(e.size for e in entries if e.ref is None)}


def log_base(callback: Tutorial, epoch: int) -> dict[str, float]:
    """Logs a version with the base class; returns the seconds of the thread that trains."""
    started = time.perf_counter()
    callback.on_epoch_end(epoch)
    return {"thread": time.perf_counter() - started}


def log_ours(callback: Ours, epoch: int, train: Any, logged: Logged) -> dict[str, float]:
    """Logs a version while the model trains.

    Returns:
        Seconds of the thread that trains, without the evaluation itself; of the writer; and those
        that training lost to the writer, which shares the machine and Python's lock with it.
    """
    logged.event.clear()
    started = time.perf_counter()
    callback.on_epoch_end(epoch)
    returned = time.perf_counter()
    steps = 0
    while not logged.event.is_set():
        train()
        steps += 1
    done = time.perf_counter()
    for _ in range(steps):
        train()
    alone = time.perf_counter() - done
    evaluation = logged.newest.metadata["seconds"]
    return {
        "thread": returned - started - evaluation["inference"] - evaluation["gather"],
        "writer": done - returned,
        "lost": done - returned - alone,
    }


def measure(rows: int, repetitions: int, logged: Logged) -> None:
    """Logs versions of so many rows in all three ways, in turn."""
    random = np.random.default_rng(0)
    model = models.small_cnn()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, labels = models.inputs(model, rows), random.integers(0, 10, rows)
    images = [wandb.Image(image) for image in (255 * x).astype(np.uint8)]
    given = random.integers(0, 10, rows), random.random(rows)
    callbacks = {
        "base": Tutorial(images, labels, x, predict=lambda: given),
        "media": Ours(images, labels, x),
        "row": Ours(images, labels, x, reference="row"),
    }
    for callback in callbacks.values():
        callback.set_model(model)
        callback.on_train_begin()
        if isinstance(callback, Ours):
            callback._publisher.finish()  # only versions are logged from now on

    def train() -> None:
        model.train_on_batch(x[:32], labels[:32])

    train()
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in callbacks}
    sizes = {}
    for repetition in range(-1, repetitions):  # the first one is a warm-up
        for name, callback in callbacks.items():
            callback.on_epoch_begin(repetition + 1)
            taken = (
                log_base(callback, repetition + 1)
                if name == "base"
                else log_ours(callback, repetition + 1, train, logged)
            )
            sizes[name] = logged.size()
            if repetition >= 0:
                for part, value in taken.items():
                    seconds[name].setdefault(part, []).append(value)
    for callback in callbacks.values():
        callback.on_train_end()
    base = seconds["base"]["thread"]
    for name in ("media", "row"):
        case, own = f"{rows:,} rows, references by {name}", seconds[name]
        held = medians(own)
        emit("logging", case, "training thread held up, ms", 1000 * held["thread"])
        emit("logging", case, "base class / ours, training thread", ratio(base, own["thread"]))
        emit("logging", case, "base class / writer", ratio(base, own["writer"]))
        emit("logging", case, "lost by training beside the writer, ms", 1000 * held["lost"],
             rows=rows, seconds={"base": medians(seconds["base"])["thread"], **held},
             base=sizes["base"], ours=sizes[name])  # fmt: skip


with offline_run() as run:
    logged = Logged(run)
    for rows, repetitions in SIZES.items():
        measure(rows, repetitions, logged)
