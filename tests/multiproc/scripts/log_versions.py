"""Trains for many short epochs and logs a version after each, with a bounded memory."""

from __future__ import annotations

import argparse

import psutil
import tensorflow as tf
import wandb

from disteval.tables import uploads
from log_parts import Eval, Scale, data, make_model

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--rows", type=int, required=True)
parser.add_argument("--reference", default="media")
parser.add_argument("--stall-seconds", type=float, default=uploads.STALL_SECONDS)
args = parser.parse_args()
uploads.STALL_SECONDS = args.stall_seconds
uploads.POLL_SECONDS = min(uploads.POLL_SECONDS, args.stall_seconds)

memory = []


class Memory(tf.keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        memory.append(psutil.Process().memory_info().rss / 2**20)


run = wandb.init(project="logging", id="versions")
callbacks = [Scale(), Eval(args.rows, reference=args.reference), Memory()]
x, y = data(args.rows)
make_model().fit(x, y, batch_size=256, epochs=args.epochs, verbose=0, callbacks=callbacks)
print("trained")
wandb.finish()
if args.epochs > 20:
    growth = max(memory[20:]) / memory[20] - 1
    print(f"{memory[20]:.0f} MiB after epoch 20, {max(memory[20:]):.0f} MiB at most later")
    assert growth < 0.05, memory
