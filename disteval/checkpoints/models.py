"""From a checkpoint to a model, which is kept for the next one where that is possible."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from disteval.arguments import check_model
from disteval.checkpoints.files import WEIGHTS, Checkpoint
from disteval.errors import DistEvalError

# Seconds until a file that the chief sees has to be visible on another host, too.
VISIBLE_SECONDS = 60.0
POLL_SECONDS = 0.5


class Models:
    """Loads checkpoints.

    An evaluation is traced for a model, which takes longer than many evaluations. So the weights
    of the next checkpoint are loaded into the same model if it has the same configuration.

    Args:
        build: Returns a new model for files of weights; `None` if there are none.
        strategy: The strategy in whose scope models are made.
    """

    def __init__(self, build: Callable[[], Any] | None, strategy: tf.distribute.Strategy) -> None:
        self._build = build
        self._strategy = strategy
        self._model: Any = None
        self._config: bytes | None = None

    def load(self, checkpoint: Checkpoint) -> Any:
        """Returns the model of a checkpoint.

        Raises:
            DistEvalError: It is a file of weights, and there is no function that builds a model.
            Exception: Keras cannot load it; the type is up to Keras.
        """
        path = checkpoint.path
        _await_size(checkpoint)
        if self._build is not None:
            if self._model is None:
                self._model = self._built(self._build)
            self._model.load_weights(str(path))
            return self._model
        if path.name.endswith(WEIGHTS):
            raise DistEvalError(
                f"{path} holds weights without a model. Expected: a factory that returns "
                "(callback, build), where build() returns a model with such weights."
            )
        config = _config_of(path)
        if config is not None and config == self._config:
            self._model.load_weights(str(path))
        else:
            with self._strategy.scope():
                self._model, self._config = tf.keras.models.load_model(str(path)), config
        return self._model

    def _built(self, build: Callable[[], Any]) -> Any:
        with self._strategy.scope():
            model = build()
        check_model(model)
        return model


def _config_of(path: Path) -> bytes | None:
    """Returns the configuration in a `.keras`, with that of `compile`; `None` for other files."""
    if path.suffix != ".keras":
        return None
    with zipfile.ZipFile(path) as file:
        return file.read("config.json")


def _await_size(checkpoint: Checkpoint) -> None:
    """Waits until this host sees a file as the chief does: network file systems remember."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            if Checkpoint.of(checkpoint.path).size == checkpoint.size:
                return
            fault = f"it has another size than the {checkpoint.size:,} bytes that rank 0 sees"
        except OSError as error:
            fault = str(error)
        if time.monotonic() > deadline:
            raise DistEvalError(f"{checkpoint.path} cannot be read here: {fault}.")
        time.sleep(POLL_SECONDS)
