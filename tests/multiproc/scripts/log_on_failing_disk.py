"""Trains while the disk of W&B's folders fails for some epochs, and then works again.

Arguments: a folder on that disk; `on_log_error`; and how it fails: `full`, `read-only`, `denied`
(by the modes of the folders of W&B) or `removed` (these folders are). Prints what became of each
version as JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import wandb

import disteval
from messages import Messages
from multiproc.disks import empty, fill, is_above_modes

DISK, ON_LOG_ERROR, HOW = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if HOW == "denied" and is_above_modes():
    rights = ["--bounding-set", "-dac_override,-dac_read_search"]
    os.execvp("setpriv", ["setpriv", *rights, sys.executable, *sys.argv])

EPOCHS, FAILS, WORKS = 8, 2, 5
SAMPLES = 100
keras = tf.keras
random = np.random.default_rng(0)
X = random.integers(0, 256, (SAMPLES, 16, 16, 3)).astype(np.uint8)
Y = random.integers(0, 4, SAMPLES)


class Disk(keras.callbacks.Callback):
    """Breaks the disk before an evaluation, and repairs it before a later one."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == FAILS:
            fail()
        elif epoch == WORKS:
            work()


def fail() -> None:
    if HOW == "full":
        fill(DISK)
    elif HOW == "read-only":
        # Over the disk itself, on which W&B's service has files open to write.
        subprocess.run(["mount", "--bind", DISK, DISK], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", DISK], check=True)
    elif HOW == "denied":
        allow(0o500)
    else:
        for folder in (DISK / "artifacts/staging", *(DISK / "tmp").glob("*wandb-media")):
            shutil.rmtree(folder)


def work() -> None:
    if HOW == "full":
        empty(DISK)
    elif HOW == "read-only":
        subprocess.run(["umount", DISK], check=True)
    elif HOW == "denied":
        allow(0o700)


def allow(mode: int) -> None:
    """Sets the mode of all folders on the disk."""
    for folder, _, _ in os.walk(DISK):
        os.chmod(folder, mode)


messages = Messages()
layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
model = keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Dense(4, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
trained = 0
with wandb.init(project="disk", id=f"disk-{ON_LOG_ERROR}", dir=DISK) as run:
    evaluation = disteval.ClassificationEval(
        (X, Y), asynchronous=False, on_log_error=ON_LOG_ERROR, monitor="val_loss", mode="max"
    )
    try:
        history = model.fit(X, Y, epochs=EPOCHS, verbose=0, callbacks=[Disk(), evaluation]).history
        trained, error = len(history["loss"]), ""
    except disteval.DistEvalError as caught:
        trained, error = len(model.history.history["loss"]), str(caught)
    empty(DISK)  # where the error has ended training before
warnings = messages.take()
lost = [found[1] for text in warnings if (found := re.search(r"and (epoch_\d) .*is lost", text))]
print(json.dumps({"trained": trained, "lost": lost, "error": error, "warnings": warnings}))
