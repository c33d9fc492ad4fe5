"""Scenarios: one rank is killed, stopped, interrupted, leaves training, or was never there."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from multiproc.faults.raising import Batches
from multiproc.faults.training import Eval, Training, X, Y, keras


def _end(training: Training, kind: signal.Signals) -> None:
    training.fault()
    os.kill(os.getpid(), kind)


def _on_entering(function: str, training: Training, kind: signal.Signals) -> Any:
    """Returns an action that ends this process as soon as it enters a function of the package."""

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == function:
            _end(training, kind)

    return lambda model: sys.setprofile(profile)


class Large(Eval):
    """Predictions that are too many to travel with the status of a rank."""

    def postprocess(self, outputs, batch):
        return tf.repeat(outputs, 1 << 20, axis=1)  # 8 MB for each sample


def killed_before_training(training: Training) -> None:
    if training.is_origin:
        _on_entering("prepare", training, signal.SIGKILL)(None)
    training.fit()


class EndingBatches(Batches):
    """Batches whose last one ends the process."""

    def __init__(self, training: Training, kind: signal.Signals) -> None:
        super().__init__()
        self.fail = lambda: _end(training, kind)


def killed_in_inference(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGKILL)
    training.fit(batches, before=[training.at_epoch_end(0, batches.start)])


def stopped_in_inference(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGSTOP)
    training.fit(batches, before=[training.at_epoch_end(0, batches.start)])


def interrupt(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGINT)
    training.fit(batches, before=[training.at_epoch_end(0, batches.start)])


def killed_in_gather(training: Training) -> None:
    action = _on_entering("gather", training, signal.SIGKILL)
    training.fit(callback=Large, before=[training.at_epoch_end(0, action)])


def stopped_in_gather(training: Training) -> None:
    action = _on_entering("gather", training, signal.SIGSTOP)
    training.fit(callback=Large, before=[training.at_epoch_end(0, action)])


def killed_in_training(training: Training) -> None:
    class Action(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if training.is_origin and epoch == 1:
                _end(training, signal.SIGKILL)

    training.fit(before=[Action()])


def stopped_at_the_end(training: Training) -> None:
    class Action(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            if training.is_origin:
                _end(training, signal.SIGSTOP)

    training.fit(before=[Action()])


def training_raises(training: Training) -> None:
    training.fit(before=[training.at_epoch_end(1, lambda model: 1 / 0)])


def stop_training_within_an_epoch(training: Training) -> None:
    import horovod.tensorflow as hvd

    class Averaging(keras.Sequential):
        """Averages its gradients, so that no rank can train alone."""

        def train_step(self, data):
            hvd.allreduce(tf.reduce_sum(data[0]))
            return super().train_step(data)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if training.is_origin and not batch:
                training.fault()
                self.model.stop_training = True

    training.fit(model=training.model(Averaging), before=[Stop()])


def no_callback(training: Training) -> None:
    training.fault()
    if training.is_origin:
        training.model().fit(np.array(X), Y, epochs=2, verbose=0)
    else:
        training.fit()
