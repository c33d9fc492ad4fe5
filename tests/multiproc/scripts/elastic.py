"""Trains as `launch/train_elastic.py`: a rank is killed in mid-epoch, then the chief; one joins.

Argument: a folder. The file `more` in it asks for another host, and `seen` says that Horovod knows.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import horovod.tensorflow as hvd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[3] / "launch"))
import train_elastic

import disteval

# Epoch, rank and number of ranks. The numbers make it one kill each: the ranks are fewer after it.
VICTIMS = [(1, 2, 3), (2, 0, 2)]
FOLDER = Path(sys.argv.pop(1))


class Changes(tf.keras.callbacks.Callback):
    """Kills ranks, asks for another, and shows how they go on."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        print(f"epoch {epoch} on rank {hvd.rank()} of {hvd.size()}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and (self.epoch, hvd.rank(), hvd.size()) in VICTIMS:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, hvd.size()) == (3, 1):
            (FOLDER / "more").touch()
            while not (FOLDER / "seen").exists():
                time.sleep(0.1)


def history() -> disteval.ClassificationEval:
    """Returns an evaluator of the same samples, whose history goes on with the new chief."""
    train_elastic.choose_devices(cpu=True)
    hvd.init()
    _, (x, y) = train_elastic.load_data("digits", "single")
    return disteval.ClassificationEval(
        (x, y), num_samples=40, name="history", backend="horovod", asynchronous=False
    )


if __name__ == "__main__":
    train_elastic.main([history(), Changes()])
