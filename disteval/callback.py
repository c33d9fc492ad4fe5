"""`DistEvalCallback`: when to evaluate, and which hook runs where."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import wandb
from wandb.integration.keras import WandbEvalCallback

from disteval import tables
from disteval.backends import Backend, get_backend
from disteval.data import Source, as_source
from disteval.errors import DistEvalError
from disteval.loop import Loop
from disteval.predict import Evaluation, evaluate

logger = logging.getLogger("disteval")


class DistEvalCallback(WandbEvalCallback):
    """Evaluates on all replicas at the end of each epoch, and logs the predictions once.

    A subclass implements the two hooks of `WandbEvalCallback`, and may implement `postprocess`.
    Every rank constructs the callback and passes it to `fit`; the hooks run on the chief only,
    and W&B is touched there only.

    Args:
        data_table_columns: Names of the columns of the ground-truth table.
        pred_table_columns: Names of the columns of the prediction table.
        validation_data: `(x, y)` or `(x, y, sample_weight)` of arrays or nests of arrays; a
            finite `tf.data.Dataset`, batched or not; a `keras.utils.PyDataset`; or a function
            `fn(shard_index, num_shards)` that returns a dataset of `(index, (x, y))`, for input
            that is sharded at its source. With `None`, there is no sharded inference, and
            `add_model_predictions` does its own.
        num_samples: Limits inference and `samples()` to the first so many samples.
        batch_size: Samples of a batch on one replica, 32 by default. A batched dataset keeps
            its own batches.
        backend: `"auto"`, `"single"`, `"mirrored"` or `"horovod"`; see `disteval.get_backend`.

    Attributes:
        predictions: On the chief, the predictions of all samples: a nest of arrays whose row i
            is sample i, as `disteval.predict` returns it.
        data_table_ref: On the chief, the logged ground-truth table: `data_table_ref[i][column]`.

    Example:
        ```python
        class DigitsEval(disteval.DistEvalCallback):
            def add_ground_truth(self, logs=None):
                for image, label in self.samples():
                    self.data_table.add_data(wandb.Image(image), label)

            def postprocess(self, outputs, batch):
                return tf.argmax(outputs, axis=-1)

            def add_model_predictions(self, epoch, logs=None):
                for i, prediction in enumerate(self.predictions):
                    self.pred_table.add_data(epoch, *self.data_table_ref[i], prediction)

        model.fit(x, y, callbacks=[DigitsEval(
            ["image", "label"], ["epoch", "image", "label", "prediction"],
            validation_data=(x_val, y_val),
        )])
        ```
    """

    def __init__(
        self,
        data_table_columns: list[str],
        pred_table_columns: list[str],
        *,
        validation_data: Any = None,
        num_samples: int | None = None,
        batch_size: int | None = None,
        backend: str = "auto",
    ) -> None:
        if get_backend(backend if backend != "mirrored" else "auto").is_chief:
            super().__init__(data_table_columns, pred_table_columns)
        else:
            # Only the chief has a run, and the base class insists on one.
            super(WandbEvalCallback, self).__init__()
        self.data_table_columns = data_table_columns
        self.pred_table_columns = pred_table_columns
        self.validation_data = validation_data
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.backend = backend
        self.predictions: Any = None
        self._source: Source | None = None
        self._loop: Loop | None = None
        self._data_artifact: wandb.Artifact | None = None
        self._epoch = 0
        self._metadata: dict[str, Any] = {}

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns what of a batch travels to the chief; traced into the graph on every replica.

        Args:
            outputs: What `model.predict_step` returns for the batch.
            batch: The batch itself, such as `(x, y)`.

        Returns:
            A nest of tensors, dense or ragged, with one row for each sample.
        """
        return outputs

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order, `num_samples` at most."""
        if self._source is None:
            raise DistEvalError("samples() needs validation_data. Received: None.")
        return self._source.samples()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data on every rank, and logs the ground-truth table on the chief."""
        backend = self._backend()
        with backend.together("on_train_begin", same=self._facts()):
            self._prepare(backend)
        with backend.together("add_ground_truth"):
            if backend.is_chief:
                self.init_data_table(column_names=self.data_table_columns)
                tables.store_plain_cells(self.data_table)
                self.add_ground_truth(logs)
                self.log_data_table()
            elif wandb.run is not None:
                logger.warning(
                    "Rank %d has a W&B run of its own, %s. Nothing is logged to it by this "
                    "callback; only rank 0 needs a run.", backend.rank, wandb.run.id
                )  # fmt: skip

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates on every rank, and logs a version of the prediction table on the chief."""
        backend = self._backend()
        backend.agree(f"the evaluation of epoch {epoch}", same=self._facts())
        self._epoch = epoch
        self._metadata = {"epoch": epoch, "logs": logs or {}, "replicas": backend.num_replicas}
        if self._source is not None:
            evaluation = evaluate(backend, self._current_loop(backend), self._source)
            self.predictions = evaluation.predictions
            self._metadata |= _describe(evaluation)
        with backend.together(f"add_model_predictions of epoch {epoch}"):
            if backend.is_chief:
                self.init_pred_table(column_names=self.pred_table_columns)
                tables.store_plain_cells(self.pred_table)
                self.add_model_predictions(epoch, logs)
                self.log_pred_table()

    def log_data_table(
        self, name: str = "val", type: str = "dataset", table_name: str = "val_data"
    ) -> None:
        """Logs `data_table` as a W&B artifact that the run uses, and makes `data_table_ref`.

        Nothing is downloaded again: `data_table_ref` refers to the table of this process.

        Args:
            name: Name of the artifact.
            type: Type of the artifact.
            table_name: Name of the table, as it will be displayed.
        """
        self._data_artifact = tables.log_data_table(
            self._run(), self.data_table, name=name, type=type, table_name=table_name
        )
        self.data_table_ref: Any = tables.DataTableRef(self.data_table)

    def log_pred_table(
        self,
        type: str = "evaluation",
        table_name: str = "eval_data",
        aliases: list[str] | None = None,
    ) -> None:
        """Logs `pred_table` as a version of the W&B artifact `run_<id>_pred`.

        Args:
            type: Type of the artifact.
            table_name: Name of the table, as it will be displayed.
            aliases: Aliases of the version; `latest` and `epoch_<n>` by default.
        """
        tables.log_pred_table(
            self._run(),
            self.pred_table,
            self._data_artifact,
            type=type,
            table_name=table_name,
            aliases=aliases or ["latest", f"epoch_{self._epoch}"],
            metadata=self._metadata,
        )

    def _backend(self) -> Backend:
        return get_backend(self.backend, model=self.model)

    def _facts(self) -> dict[str, Any]:
        """What has to be equal on every rank."""
        return {
            "num_samples": self.num_samples,
            "batch_size": self.batch_size,
            "validation_data": type(self.validation_data).__name__,
        }

    def _prepare(self, backend: Backend) -> None:
        """Finds out before training whether the data can be evaluated."""
        if self.validation_data is None:
            return
        self._source = as_source(
            self.validation_data,
            batch_size=self.batch_size,
            num_samples=self.num_samples,
            model=self.model,
        )
        self._current_loop(backend).trace(self._source.first())

    def _current_loop(self, backend: Backend) -> Loop:
        loop = self._loop
        if loop is None or loop.model is not self.model or loop.strategy is not backend.strategy:
            loop = self._loop = Loop(self.model, self.postprocess, backend.strategy)
        return loop

    def _run(self) -> wandb.Run:
        if wandb.run is None:
            raise DistEvalError("There is no W&B run. Call wandb.init() before training.")
        return wandb.run


def _describe(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "samples": evaluation.num_samples,
        "seconds": evaluation.seconds,
        "samples_by_rank": [sum(count for _, count in runs) for runs in evaluation.receipt],
    }
