"""`DistEvalCallback`: when to evaluate, and what every rank does then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import wandb

from disteval.backends import Backend, get_backend
from disteval.errors import DistEvalError
from disteval.evaluator import Evaluator
from disteval.hooks import TableCallback, run_identity
from disteval.order import check_ranks
from disteval.replicas import check_mode
from disteval.schedule import Monitor, Schedule
from disteval.tables import Writer
from disteval.version import Version

logger = logging.getLogger("disteval")


class DistEvalCallback(TableCallback):
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
        backend: `"auto"`, `"single"`, `"mirrored"`, `"horovod"` or `"multiworker"`; see
            `disteval.get_backend`.
        log_freq: `"epoch"`, or a number of training batches between two evaluations.
        reference: How rows of predictions refer to the ground truth: `"media"` holds its cells,
            with references to its media files, as the base class does; `"row"` is one
            foreign-key column, with a constant number of entries for each version. For
            `add_predictions`.
        sync_weights: Before an evaluation, the replicas compare their variables. `"auto"`: trained
            weights that differ raise `ReplicaDivergenceError`; other state, such as the
            statistics of BatchNormalization, is lent from the chief for the evaluation. `"check"`
            raises for either, `"off"` compares nothing.
        asynchronous: Builds the tables and uploads them in the background of the chief while
            training goes on; the hooks run there, and cannot use `self.model`. With `False`,
            training waits for both. Without `validation_data`, it waits for the hooks.
        on_log_error: `"warn"` goes on training when W&B fails, keeps the tables that could not be
            logged in the run's directory and names them; `"raise"` raises at the next evaluation
            or at the end of training, on every rank.
        monitor: Name of a value in `logs`; the version in which it is best gets the alias `best`.
        mode: `"min"`, `"max"` or `"auto"`, as in `keras.callbacks.ModelCheckpoint`.
        timeout: Seconds to wait for a sign of life of other ranks before a `ReplicaError`.
        verbose: 1 shows a progress bar on the chief if an evaluation takes longer than 2 seconds, 0
            does not, and `"auto"` does on a terminal.
        partitions: Over how many W&B tables the rows of one version are spread, for more than
            the 200,000 rows that W&B stores in one.
        keep_local: Keeps the uploaded tables in the run's directory, too, for
            `python -m disteval report`. Those of an offline run are there anyway.

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
        log_freq: str | int = "epoch",
        reference: str = "media",
        sync_weights: str = "auto",
        asynchronous: bool = True,
        on_log_error: str = "warn",
        monitor: str | None = None,
        mode: str = "auto",
        timeout: float = 600,
        verbose: str | int = "auto",
        partitions: int = 1,
        keep_local: bool = False,
    ) -> None:
        _check_choice("reference", reference, ("media", "row"))
        check_mode(sync_weights)
        _check_choice("on_log_error", on_log_error, ("warn", "raise"))
        _check_choice("verbose", verbose, ("auto", 0, 1))
        _check_positive("timeout", timeout, (int, float))
        _check_positive("partitions", partitions, int)
        if reference == "row" and partitions != 1:
            raise DistEvalError(
                f'Received: reference="row" with partitions={partitions}. Expected: partitions=1, '
                'since a row refers to one table, or reference="media".'
            )
        self._schedule = Schedule(log_freq)
        super().__init__(
            data_table_columns,
            pred_table_columns,
            is_chief=get_backend(backend).is_chief,
            # Without sharded inference, `add_model_predictions` needs the model as it is now.
            writer=Writer(asynchronous and validation_data is not None),
            reference=reference,
            on_log_error=on_log_error,
            monitor=Monitor(monitor, mode),
            partitions=partitions,
            keep_local=keep_local,
        )
        self.validation_data = validation_data
        self.backend = backend
        self.timeout = timeout
        self._waits_for_uploads = not asynchronous
        self._run_identity: dict[str, Any] | None = None
        self._epoch = 0
        self._evaluator: Evaluator | None = None
        if validation_data is not None:
            self._evaluator = Evaluator(
                validation_data,
                self.postprocess,
                num_samples=num_samples,
                batch_size=batch_size,
                sync_weights=sync_weights,
                verbose=verbose,
            )

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
        if self._evaluator is None:
            raise DistEvalError("samples() needs validation_data. Received: None.")
        return self._evaluator.samples()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data on every rank, and logs the ground-truth table on the chief."""
        backend = self._backend()
        with backend.together("on_train_begin", self._facts()) as agreement:
            order = self._evaluator.prepare(backend, self._model) if self._evaluator else None
            agreement.own["order"] = order
            agreement.own["batches"] = max(self._schedule.batches, _batches_of(self._model))
            if backend.is_chief or self._run_identity:
                agreement.own["run"] = run_identity() or self._run_identity
        check_ranks(agreement.statuses)
        # A rank that has joined an elastic job has counted none.
        self._schedule.resume(max(status.own["batches"] for status in agreement.statuses))
        identities = [status.own.get("run") for status in agreement.statuses]
        self._run_identity = next(filter(None, identities), None)
        with backend.together("add_ground_truth"):
            if backend.is_chief:
                self._start_tables(self._run_identity)
                self._writer.call(lambda: self._build_data_table(logs))
                self._writer.submit(self.log_data_table)
            elif wandb.run is not None:
                logger.warning(
                    "Rank %d has a W&B run of its own, %s. Nothing is logged to it by this "
                    "callback; only rank 0 needs a run.", backend.rank, wandb.run.id
                )  # fmt: skip

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Takes note of the epoch."""
        self._epoch = epoch
        self._schedule.start_epoch()
        # A rank that has left training, or is an epoch ahead, is found here and not by a hang.
        self._backend().agree(f"the begin of epoch {epoch}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates if `log_freq` training batches have passed."""
        if self._schedule.is_due(batch):
            self._evaluate("step", self._schedule.batches, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates if `log_freq` is `"epoch"`."""
        self._epoch = epoch
        if self._schedule.by_epoch:
            self._evaluate("epoch", epoch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Waits for the tables, on the chief, and raises on every rank what went wrong there."""
        backend = self._backend()
        with backend.together("the end of training"):
            if self._tables is not None:
                self._writer.drain()
                if self.on_log_error == "raise":
                    self._tables.drain()
                self._raise_background_error()
        if self._tables is not None:
            self._tables.drain()

    def _backend(self) -> Backend:
        return get_backend(self.backend, model=self._model, timeout=self.timeout)

    def _facts(self) -> dict[str, Any]:
        """Returns what has to be equal on every rank."""
        facts = {"log_freq": self._schedule.log_freq, "asynchronous": self._writer.asynchronous}
        return facts | (self._evaluator.facts() if self._evaluator else {"validation_data": None})

    def _evaluate(self, unit: str, number: int, logs: dict[str, float] | None) -> None:
        """Evaluates on every rank, and has the chief log a version."""
        backend = self._backend()
        step = f"the evaluation of {unit} {number}"
        error = self._background_error()
        version = Version.start(
            unit, number, epoch=self._epoch, step=self._schedule.batches, logs=logs
        )
        # Now, so that the predictions of the evaluation before are not in memory beside these.
        self._newest = version
        if not self._writer.asynchronous:
            self._at_work = version
        if self._evaluator is not None:
            evaluation = self._evaluator.run(
                backend, self._model, step, same=self._facts(), before=error
            )
            version.add(evaluation, backend)
        else:
            with backend.together(step, self._facts()):
                if error is not None:
                    raise error
        if not self._writer.asynchronous:
            with backend.together(f"add_model_predictions of {unit} {number}"):
                if backend.is_chief:
                    self._build_pred_table(version)
                    if self._waits_for_uploads:
                        self._log.drain()
        elif backend.is_chief:
            self._writer.submit(lambda: self._build_pred_table_behind(version))


def _batches_of(model: Any) -> int:
    """Returns how many batches a model was trained on, also before this process."""
    return int(tf.convert_to_tensor(getattr(model.optimizer, "iterations", 0)))


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        listed = ", ".join(map(str, choices))
        raise DistEvalError(f"Received: {name}={value!r}. Expected one of {listed}.")


def _check_positive(name: str, value: Any, kind: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or value <= 0:
        raise DistEvalError(f"Received: {name}={value!r}. Expected a positive number.")
