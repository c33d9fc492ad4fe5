"""The end of an epoch as the thread that trains sees it: W&B's tutorial beside this package."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import wandb

from benchmarks import models
from benchmarks.callbacks import Ours, Tutorial, offline_run
from benchmarks.measure import emit, medians, ratio

QUICK = "--quick" in sys.argv
IMAGES = 2000
EPOCHS = 2 if QUICK else 7


def timed(kind: type, taken: list[float]) -> type:
    """Returns a callback that records how long each end of an epoch takes."""

    class Timed(kind):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            started = time.perf_counter()
            super().on_epoch_end(epoch, logs)
            taken.append(time.perf_counter() - started)

    return Timed


with offline_run():
    model = models.small_cnn()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = models.inputs(model, IMAGES)
    labels = np.random.default_rng(0).integers(0, 10, IMAGES)
    images = [wandb.Image(image) for image in (255 * x).astype(np.uint8)]
    seconds: dict[str, list[float]] = {"tutorial": [], "ours": []}
    callbacks = [
        timed(kind, seconds[name])(images, labels, x)
        for name, kind in (("tutorial", Tutorial), ("ours", Ours))
    ]
    # Both in one training, so that the epochs of both are the same.
    model.fit(x, labels, epochs=EPOCHS + 1, verbose=0, callbacks=callbacks)
    # The first epoch traces the loop.
    first = {name: values.pop(0) for name, values in seconds.items()}
    case = f"{IMAGES:,} images"
    emit("epoch end", case, "tutorial / ours", ratio(seconds["tutorial"], seconds["ours"]),
         seconds=medians(seconds))  # fmt: skip
    emit("epoch end", case, "tutorial / ours, first epoch", first["tutorial"] / first["ours"],
         seconds=first)  # fmt: skip
