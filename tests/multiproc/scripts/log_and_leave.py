"""Trains, and ends in the middle of it in one of several ways, or loses W&B's service."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import tensorflow as tf
import wandb

from log_parts import Eval, Scale, data, make_model

WAY = sys.argv[1]
LAST, EPOCHS = 3, 10


class Leave(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch != LAST:
            return
        if WAY == "without service":
            children = psutil.Process().children()
            (service,) = [child for child in children if "wandb" in child.name()]
            service.kill()
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
    make_model().fit(*data(20), epochs=EPOCHS, verbose=0, callbacks=callbacks)


if WAY == "raise in with":
    with wandb.init(project="logging", id="leave"):
        train()
else:
    wandb.init(project="logging", id="leave")
    train()
print("trained")
