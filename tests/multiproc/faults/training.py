"""The training that every scenario starts from, in which nothing goes wrong."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

keras = tf.keras
SAMPLES = 32
X = np.random.default_rng(0).normal(size=(SAMPLES, 4)).astype(np.float32)
Y = np.arange(SAMPLES) % 2


class Eval(disteval.DistEvalCallback):
    """Logs two tables as a user would."""

    def add_ground_truth(self, logs=None):
        for image, label in self.samples():
            self.data_table.add_data(str(image), label)

    def add_model_predictions(self, epoch, logs=None):
        for i, output in enumerate(self.predictions):
            self.pred_table.add_data(epoch, *self.data_table_ref[i], str(output))


class Training:
    """A training of two epochs, and what a scenario needs to make it fail.

    Args:
        directory: Where it is noted when the fault happens.
        is_origin: Whether it happens on this rank.
        timeout: Seconds to wait for a silent rank.
    """

    def __init__(self, directory: Path, is_origin: bool, timeout: float) -> None:
        faulthandler.enable()  # a rank that has to be aborted shows where it was
        self._directory = directory
        self._timeout = timeout
        self.is_origin = is_origin
        self.strategy = replicas.start()
        self.backend = disteval.get_backend(replicas.BACKEND)
        self.is_last = self.backend.rank == self.backend.size - 1
        # The same weights everywhere, and a learning rate of 0 keeps them so.
        keras.utils.set_random_seed(0)

    def fault(self) -> None:
        """Notes that the fault happens now, if it is the first."""
        note = self._directory / "fault"
        if not note.exists():
            note.write_text(str(time.monotonic()))

    def model(self, kind: type = keras.Sequential, width: int = 2, *more: Any) -> Any:
        """Returns a compiled model."""
        with self.strategy.scope():
            model = kind([keras.Input((4,)), *more, keras.layers.Dense(width)])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
        return model

    def fit(
        self,
        validation_data: Any = (X, Y),
        *,
        model: Any = None,
        callback: type = Eval,
        epochs: int = 2,
        initial_epoch: int = 0,
        before: list[Any] | None = None,
        after: list[Any] | None = None,
        has_run: bool = True,
        **arguments: Any,
    ) -> None:
        """Trains with the callback, between other callbacks."""
        if self.backend.is_chief and has_run:
            wandb.init(mode="disabled")
        arguments = {"batch_size": 4, "asynchronous": False} | arguments
        evaluation = callback(
            ["image", "label"],
            ["epoch", "image", "label", "output"],
            validation_data=validation_data,
            backend=replicas.BACKEND,
            timeout=self._timeout,
            **arguments,
        )
        (model or self.model()).fit(
            X,
            Y,
            batch_size=16,
            epochs=epochs,
            initial_epoch=initial_epoch,
            verbose=0,
            callbacks=[*(before or []), evaluation, *(after or [])],
        )

    def at(self, hook: str, number: int | None = None, action: Callable[[Any], Any] = id) -> Any:
        """Returns a callback for `before`, which notes the fault on the rank where it happens.

        Args:
            hook: When: a method of `keras.callbacks.Callback`.
            number: The epoch or batch, if it has one.
            action: What happens then, with the model.
        """

        def act(*args: Any, logs: Any = None) -> None:
            if self.is_origin and (number is None or args[0] == number):
                self.fault()
                action(callback.model)

        callback = keras.callbacks.LambdaCallback()
        setattr(callback, hook, act)
        return callback
