"""The job of an elastic schedule: it trains as `launch/train_elastic.py` while ranks are lost.

Arguments: the schedule as JSON, a directory for notes, and the arguments of `train_elastic.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import horovod.tensorflow as hvd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[2] / "launch"))
import train_elastic

from chaos.events import Events
from chaos.schedules import Schedule

SCHEDULE, DIRECTORY = Schedule.from_json(sys.argv.pop(1)), Path(sys.argv.pop(1))


class Count(tf.keras.callbacks.Callback):
    """Counts what happens in training, by the rank that this process had at first."""

    events: Events | None = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.events is None:
            self.events = Events(SCHEDULE.faults, hvd.rank(), DIRECTORY, None)

    def on_train_batch_end(self, batch, logs=None):
        self.events.happen("train batch")

    def on_epoch_end(self, epoch, logs=None):
        self.events.happen("epoch end")


if __name__ == "__main__":
    train_elastic.main([Count()])
