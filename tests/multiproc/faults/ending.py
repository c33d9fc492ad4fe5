"""Scenarios: one rank is killed, stopped, interrupted, leaves training, or was never there."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import tensorflow as tf

from multiproc.faults.raising import FailingBatches
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


class EndingBatches(FailingBatches):
    """Batches whose last one ends the process."""

    def __init__(self, training: Training, kind: signal.Signals) -> None:
        super().__init__()
        self.fail = lambda: _end(training, kind)


def killed_in_inference(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGKILL)
    training.fit(batches, before=[training.at("on_epoch_end", 0, batches.start)])


def stopped_in_inference(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGSTOP)
    training.fit(batches, before=[training.at("on_epoch_end", 0, batches.start)])


def interrupt(training: Training) -> None:
    batches = EndingBatches(training, signal.SIGINT)
    training.fit(batches, before=[training.at("on_epoch_end", 0, batches.start)])


def killed_in_gather(training: Training) -> None:
    action = _on_entering("gather", training, signal.SIGKILL)
    training.fit(callback=Large, before=[training.at("on_epoch_end", 0, action)])


def stopped_in_gather(training: Training) -> None:
    action = _on_entering("gather", training, signal.SIGSTOP)
    training.fit(callback=Large, before=[training.at("on_epoch_end", 0, action)])


def killed_in_training(training: Training) -> None:
    kill = training.at("on_epoch_begin", 1, lambda model: _end(training, signal.SIGKILL))
    training.fit(before=[kill])


def stopped_at_the_end(training: Training) -> None:
    stop = training.at("on_train_end", None, lambda model: _end(training, signal.SIGSTOP))
    training.fit(before=[stop])


def training_raises(training: Training) -> None:
    training.fit(before=[training.at("on_epoch_end", 1, lambda model: 1 / 0)])


class Averaging(keras.Sequential):
    """Averages over the ranks at each step, so that no rank can train alone."""

    def train_step(self, data):
        import horovod.tensorflow as hvd

        x, y = data
        return super().train_step((x + hvd.allreduce(x[:1]), y))


def stop_training_within_an_epoch(training: Training) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = training.is_last

    # The chief is the one that does not come to the evaluation: it waits in its next step.
    before = [training.at("on_train_batch_begin", 1), Stop()]
    training.fit(model=training.model(Averaging), before=before)


def no_callback(training: Training) -> None:
    _without_callback(training, training.model())


def no_callback_and_averaging(training: Training) -> None:
    _without_callback(training, training.model(Averaging))


def _without_callback(training: Training, model: keras.Model) -> None:
    if training.is_origin:
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[training.at("on_train_begin")])
    else:
        training.fit(model=model)
