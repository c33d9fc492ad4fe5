"""The callbacks of W&B's tutorial and of this package, which make the same tables offline."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbEvalCallback

import disteval

DATA_COLUMNS = ["image", "label"]
PRED_COLUMNS = ["epoch", *DATA_COLUMNS, "predicted", "score"]


class Tutorial(WandbEvalCallback):
    """Uses the base class like W&B's tutorial: predicts image by image, all on one thread.

    Args:
        images: An image for each row.
        labels: The class of each row; int of shape `(rows,)`.
        x: The model's input; shape `(rows, ...)`.
        predict: Returns the class and the score of each row. `None` predicts as in the tutorial.
    """

    def __init__(
        self,
        images: Sequence[wandb.Image],
        labels: np.ndarray,
        x: np.ndarray,
        predict: Callable[[], tuple[Any, Any]] | None = None,
    ) -> None:
        super().__init__(DATA_COLUMNS, PRED_COLUMNS)
        self._images, self._labels, self._x = images, labels, x
        self._predict = predict or self._one_by_one

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        for image, label in zip(self._images, self._labels.tolist(), strict=True):
            self.data_table.add_data(image, label)

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        predicted, score = self._predict()
        for i in self.data_table_ref.get_index():
            image, label = self.data_table_ref.data[i]
            self.pred_table.add_data(epoch, image, label, int(predicted[i]), float(score[i]))

    def log_data_table(
        self, name: str = "val", type: str = "dataset", table_name: str = "val_data"
    ) -> None:
        """Logs the table without downloading it again, which needs a server."""
        artifact = wandb.Artifact(name, type=type)
        artifact.add(self.data_table, table_name)
        wandb.run.log_artifact(artifact)
        self.data_table_ref = self.data_table

    def _one_by_one(self) -> tuple[list[int], list[float]]:
        predicted, score = [], []
        for image in tf.data.Dataset.from_tensor_slices(self._x):
            outputs = self.model(tf.expand_dims(image, axis=0))
            predicted.append(tf.argmax(outputs, axis=-1).numpy()[0])
            score.append(tf.reduce_max(outputs, axis=-1).numpy()[0])
        return predicted, score


class Ours(disteval.DistEvalCallback):
    """Makes the same tables with this package."""

    def __init__(
        self,
        images: Sequence[wandb.Image],
        labels: np.ndarray,
        x: np.ndarray,
        reference: str = "media",
    ) -> None:
        super().__init__(
            DATA_COLUMNS, PRED_COLUMNS, validation_data=(x, labels), reference=reference, verbose=0
        )
        self._images, self._labels = images, labels

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        for image, label in zip(self._images, self._labels.tolist(), strict=True):
            self.data_table.add_data(image, label)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        return {
            "predicted": tf.argmax(outputs, axis=-1),
            "score": tf.reduce_max(outputs, axis=-1),
        }

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.add_predictions(**self.predictions)


@contextlib.contextmanager
def offline_run() -> Iterator[Any]:
    """Opens an offline run, and deletes its files afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("DIR", "DATA_DIR", "CACHE_DIR", "ARTIFACT_DIR"):
            os.environ[f"WANDB_{name}"] = folder
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TMPDIR": folder}
        tempfile.tempdir = None  # W&B writes media into the temporary folder
        with wandb.init(project="benchmarks") as run:
            yield run
        del os.environ["TMPDIR"]
        tempfile.tempdir = None
