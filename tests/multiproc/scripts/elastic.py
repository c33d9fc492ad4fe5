"""Trains with `launch/train_elastic.py`; one rank is killed in mid-epoch, and later the chief."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import horovod.tensorflow as hvd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[3] / "launch"))
import train_elastic

# Epoch, rank and number of ranks. The numbers make it one kill each: the ranks are fewer after it.
VICTIMS = [(1, 2, 3), (2, 0, 2)]


class Kill(tf.keras.callbacks.Callback):
    """Kills ranks, and shows how the others go on."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        print(f"epoch {epoch} on rank {hvd.rank()} of {hvd.size()}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and (self.epoch, hvd.rank(), hvd.size()) in VICTIMS:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train_elastic.main([Kill()])
