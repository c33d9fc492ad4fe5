"""`DistEvalCallback`: when to evaluate, and what each rank does then."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import wandb

from disteval.arguments import check_choice, check_positive
from disteval.backends.base import Backend
from disteval.backends.choice import get_backend
from disteval.data.consistency import check_ranks
from disteval.errors import DistEvalError
from disteval.inference.evaluation import Options
from disteval.inference.session import Session
from disteval.schedule import Monitor, Schedule
from disteval.tables.callback import TableCallback
from disteval.tables.publisher import run_identity
from disteval.tables.version import Version

logger = logging.getLogger("disteval")


@dataclasses.dataclass(frozen=True)
class StartReport:
    """What a rank reports when training begins.

    Attributes:
        data: A digest of the validation data; `None` if ranks read different data, or none.
        batches: How many batches the model was trained on before.
        run: What it takes to resume the W&B run; `None` on a rank that does not know the run.
    """

    data: str | None
    batches: int
    run: dict[str, Any] | None


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
        check_choice("reference", reference, ("media", "row"))
        options = Options(num_samples, batch_size, sync_weights, verbose)
        check_choice("on_log_error", on_log_error, ("warn", "raise"))
        check_positive("timeout", timeout, float)
        check_positive("partitions", partitions)
        if reference == "row" and partitions != 1:
            raise DistEvalError(
                'reference="row" refers to rows of one table. Received: reference="row" with '
                f'partitions={partitions}. Expected: partitions=1, or reference="media".'
            )
        self._schedule = Schedule(log_freq)
        self._monitor = Monitor(monitor, mode)
        super().__init__(
            data_table_columns,
            pred_table_columns,
            reference=reference,
            is_chief=get_backend(backend).is_chief,
            # Without sharded inference, `add_model_predictions` needs the model as it is now.
            asynchronous=asynchronous and validation_data is not None,
            waits_for_uploads=not asynchronous,
            on_log_error=on_log_error,
            partitions=partitions,
            keep_local=keep_local,
        )
        self.validation_data = validation_data
        self.backend = backend
        self.timeout = timeout
        self._run_identity: dict[str, Any] | None = None
        self._epoch = 0
        self._session: Session | None = None
        if validation_data is not None:
            self._session = Session(validation_data, self.postprocess, options)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the predictions of a batch that the chief receives.

        It is traced into the graph on every replica.

        Args:
            outputs: The return value of `model.predict_step` for the batch.
            batch: The batch itself, such as `(x, y)`.

        Returns:
            A nest of tensors, dense or ragged, with one row for each sample.
        """
        return outputs

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order, `num_samples` at most."""
        if self._session is None:
            raise DistEvalError(
                "samples() needs validation data. Received: validation_data=None. "
                "Expected: (x, y) or a dataset."
            )
        return self._session.samples()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data on every rank, and logs the ground-truth table on the chief."""
        backend = self._backend()
        with backend.together("on_train_begin", self._config()) as agreement:
            knows_run = backend.is_chief or self._run_identity is not None
            agreement.report = StartReport(
                data=self._session.prepare(backend, self._model) if self._session else None,
                batches=max(self._schedule.batches, _batches_of(self._model)),
                run=(run_identity() or self._run_identity) if knows_run else None,
            )
        reports: list[StartReport] = agreement.reports
        check_ranks([report.data for report in reports])
        # A rank that has joined an elastic job has counted no batches.
        self._schedule.resume(max(report.batches for report in reports))
        self._run_identity = next((report.run for report in reports if report.run), None)
        with backend.together("add_ground_truth"):
            if backend.is_chief:
                self._publisher.begin(self._run_identity, logs)
            elif wandb.run is not None:
                logger.warning(
                    "Rank %d has a W&B run of its own, %s. Nothing is logged to it by this "
                    "callback; only rank 0 needs a run.", backend.rank, wandb.run.id
                )  # fmt: skip

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch, and checks that all ranks are in it."""
        self._epoch = epoch
        self._schedule.start_epoch()
        # Without this, a rank that has left training or is an epoch ahead would be a hang.
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
        """Waits for the chief's tables, and raises on every rank what failed in the background."""
        backend = self._backend()
        with backend.together("the end of training"):
            self._publisher.finish()
        # The other ranks do not wait for uploads whose failures are only warned about.
        self._publisher.drain()

    def _backend(self) -> Backend:
        return get_backend(self.backend, model=self._model, timeout=self.timeout)

    def _config(self) -> dict[str, Any]:
        """Returns the settings that have to be equal on every rank."""
        config = {"log_freq": self._schedule.log_freq, "asynchronous": self._publisher.asynchronous}
        return config | (self._session.config() if self._session else {"validation_data": None})

    def _evaluate(self, unit: str, number: int, logs: dict[str, float] | None) -> None:
        """Evaluates on every rank, and publishes a version on the chief."""
        backend = self._backend()
        step = f"the evaluation of {unit} {number}"
        # 1. A new version, now, so that the last one's predictions can be freed.
        version = Version.start(unit, number, self._epoch, self._schedule.batches, logs)
        self._publisher.newest = version
        # 2. All ranks evaluate, or raise what has failed on one of them in the background.
        error = self._publisher.take_error()
        if self._session is not None:
            evaluation = self._session.evaluate(
                backend, self._model, step, config=self._config(), earlier_error=error
            )
            version.add(evaluation, backend)
        else:
            with backend.together(step, self._config()):
                if error is not None:
                    raise error
        # 3. The chief publishes the version. All ranks raise its errors: now, or if that is in the
        # background, at the next evaluation.
        if self._publisher.asynchronous:
            self._publish(backend, version)
        else:
            with backend.together(f"add_model_predictions of {unit} {number}"):
                self._publish(backend, version)

    def _publish(self, backend: Backend, version: Version) -> None:
        """Publishes a version on the chief."""
        if backend.is_chief:
            if self._monitor.is_best(version.logs):
                version.aliases.append("best")
            self._publisher.publish()


def _batches_of(model: Any) -> int:
    """Returns how many batches a model was trained on, including those before this process."""
    return int(tf.convert_to_tensor(getattr(model.optimizer, "iterations", 0)))
