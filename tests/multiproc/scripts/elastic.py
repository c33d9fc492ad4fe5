"""Trains with `launch/train_elastic.py`; one of the three first ranks is killed in mid-epoch."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import horovod.tensorflow as hvd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[3] / "launch"))
import train_elastic

VICTIM = int(os.environ["DISTEVAL_TEST_VICTIM"])


class Kill(tf.keras.callbacks.Callback):
    """Kills a rank in the second epoch, and shows how the others go on."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        print(f"epoch {epoch} on rank {hvd.rank()} of {hvd.size()}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 2) and (hvd.rank(), hvd.size()) == (VICTIM, 3):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train_elastic.main([Kill()])
