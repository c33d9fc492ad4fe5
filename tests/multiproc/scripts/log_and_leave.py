"""Trains, and ends in the middle of it in one of several ways."""

from __future__ import annotations

import os
import signal
import sys

import tensorflow as tf
import wandb

from log_parts import Eval, Scale, data, make_model

WAY = sys.argv[1]
LAST = 3


class Leave(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch < LAST:
            return
        if WAY == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if WAY == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if WAY == "exit":
            sys.exit(3)
        raise RuntimeError("the user's own")


def train() -> None:
    callbacks = [Scale(), Eval(20), Leave()]
    make_model().fit(*data(20), epochs=10, verbose=0, callbacks=callbacks)


if WAY == "raise in with":
    with wandb.init(project="logging", id="leave"):
        train()
else:
    wandb.init(project="logging", id="leave")
    train()
