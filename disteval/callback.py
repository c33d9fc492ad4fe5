"""`DistEvalCallback`: when to evaluate, and what each rank does then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from disteval.arguments import check_bool, check_count, check_model
from disteval.backends.choice import get_backend
from disteval.batch_hooks import BatchHooks
from disteval.errors import DistEvalError
from disteval.inference.evaluation import Options
from disteval.inference.session import Session
from disteval.job import Job, batches_of
from disteval.schedule import Schedule
from disteval.tables.best import Monitor
from disteval.tables.callback import TableCallback
from disteval.tables.sets import SetName
from disteval.validation import ValidationLogs

if TYPE_CHECKING:
    from typing_extensions import Self  # a part of `typing` from Python 3.11 on


class DistEvalCallback(BatchHooks, TableCallback):
    """Evaluates on all replicas at the end of each epoch, and logs the predictions once.

    A subclass implements the two hooks of `WandbEvalCallback`, and may implement `infer` and
    `postprocess`, which run on each batch.
    Every rank constructs the callback and passes it to `fit`; the hooks run on the chief only,
    and W&B is touched there only.

    Args:
        data_table_columns: Names of the columns of the ground-truth table.
        pred_table_columns: Names of the columns of the prediction table.
        validation_data: `(x, y)` or `(x, y, sample_weight)` of arrays or nests of arrays; a
            finite `tf.data.Dataset`, batched or not, of which each rank reads all; a
            `keras.utils.PyDataset`; `disteval.sharded(elements, pipeline)`, of which a rank
            decodes its own part only; or a function `fn(shard_index, num_shards)` that returns a
            dataset of `(index, (x, y))`. With `None`, there is no sharded inference, and
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
        monitor: Name of a value in `logs`, or of a number that `add_metrics` adds; the version in
            which it is best gets the alias `best`. The best value is remembered with the run.
        mode: `"min"`, `"max"` or `"auto"`, as in `keras.callbacks.ModelCheckpoint`.
        timeout: Seconds to wait for a sign of life of other ranks before a `ReplicaError`.
        verbose: 1 shows a progress bar on the chief if an evaluation takes longer than 2 seconds, 0
            does not, and `"auto"` does on a terminal.
        partitions: Over how many W&B tables the rows of one version are spread, for more than
            the 200,000 rows that W&B stores in one.
        validate: Whether the pass that makes the predictions also computes the loss and the
            metrics that the model was compiled with, exactly: what `model.evaluate` of the saved
            model returns on one device. At the end of an epoch they are in `logs` on every rank, as
            `val_<metric>`, for all callbacks after this one: it has to come first in `callbacks`.
            `fit` needs no validation data then. `"auto"` does so if the model was compiled with a
            loss, the data has targets and `fit` does not validate by itself, and leaves out with a
            warning what cannot be exact. `True` raises a `MetricError` instead. `False` does not.
        name: Tells this callback from others of one training, one for each set of data. "night"
            makes the artifacts `val_night` and `run_<id>_pred_night`, the run's values
            `eval/night/<metric>`, and `val_night_<metric>` in the logs.
        keep_local: Keeps the uploaded tables in the run's directory, too, for
            `python -m disteval report`. Those of an offline run are there anyway.
        eager: Runs `infer` and `postprocess` as plain Python, batch by batch, for what cannot be
            traced, such as a `generate` that returns strings; not with several replicas in one
            process.

    Attributes:
        predictions: On the chief, the predictions of all samples: a nest of arrays whose row i
            is sample i, as `disteval.predict` returns it.
        metrics: On every rank, loss and metrics of the last evaluation, such as
            `{"loss": 0.5, "accuracy": 0.9}`; empty without `validate`.
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
        validate: str | bool = "auto",
        name: str | None = None,
        eager: bool = False,
    ) -> None:
        names = SetName(name)
        options = Options(num_samples, batch_size, sync_weights, verbose, validate)
        if validate is True and validation_data is None:
            raise DistEvalError(
                "There is no data to validate on. Received: validate=True with "
                "validation_data=None. Expected: (x, y) or a dataset."
            )
        check_bool("asynchronous", asynchronous)
        functions = self.batch_functions(eager=eager)
        schedule = Schedule(log_freq)
        engine = get_backend(backend, timeout=timeout)
        super().__init__(
            data_table_columns,
            pred_table_columns,
            reference=reference,
            is_chief=engine.is_chief,
            has_peers=engine.size > 1,
            monitor=Monitor(monitor, mode, names),
            names=names,
            # Without sharded inference, `add_model_predictions` needs the model as it is now.
            asynchronous=asynchronous and validation_data is not None,
            waits_for_uploads=not asynchronous,
            on_log_error=on_log_error,
            partitions=partitions,
            keep_local=keep_local,
        )
        self.validation_data = validation_data
        self._session: Session | None = None
        if validation_data is not None:
            self._session = Session(validation_data, functions, options)
        self._validation = ValidationLogs(validate, names)
        self._job = Job(
            self._session, self._publisher, schedule, self._validation, backend, timeout
        )

    @property
    def metrics(self) -> dict[str, Any]:
        """On every rank, loss and metrics of the last evaluation."""
        return self._validation.metrics

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order, `num_samples` at most.

        Strings are `bytes`, as TensorFlow has them: `x.decode()` is the text.
        """
        if self._session is None:
            raise DistEvalError(
                "samples() needs validation data. Received: validation_data=None. "
                "Expected: (x, y) or a dataset."
            )
        return self._session.samples()

    def evaluate(
        self,
        model: Any,
        epoch: int,
        logs: dict[str, float] | None = None,
        *,
        aliases: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Evaluates a model and logs a version, in a training loop of one's own; a collective.

        The first call checks the data, and logs the ground-truth table. After the last one,
        `close` waits for what is logged in the background; so does the end of a `with` block, as in
        `launch/examples/own_loop.py`.

        Args:
            model: The Keras model; it need not be compiled.
            epoch: The number of the version.
            logs: Values to log with it; the metrics of the validation data are added to them.
            aliases: More aliases of the version, such as the name of a checkpoint.

        Returns:
            On every rank, the metrics of the validation data; see `metrics`.

        Raises:
            DistEvalError: See `disteval.predict`.
        """
        with self._job.failing_together():
            check_model(model)
            check_count("epoch", epoch)
        self.model = model
        if not self._job.has_begun:
            self._job.begin(model, logs)
        self._job.epoch = epoch
        self._job.schedule.resume(batches_of(model))
        self._job.evaluate(model, "epoch", epoch, logs, aliases)
        self._validation.add_to(logs, self._job.schedule.batches)
        return self.metrics

    def flush(self) -> dict[str, float]:
        """Waits until the last version is built and logged; a collective.

        Returns:
            On the chief, the numbers that the hooks added, by their names in the run (`eval/f1`).

        Raises:
            DistEvalError: What failed in the background.
        """
        return self._job.flush(self._model)

    def has_version(self, alias: str) -> bool:
        """Returns whether W&B has committed a version of the run with an alias; on the chief."""
        return self._publisher.has_version(alias)

    def close(self) -> None:
        """Waits for the chief's tables after the last `evaluate`; a collective.

        Raises:
            DistEvalError: What failed in the background.
        """
        if self._job.has_begun:
            self._job.end(self._model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None:
            self.close()
        else:
            # The other ranks may be elsewhere, so this is no time for a collective.
            self._job.forget()
            self._publisher.drain()
            self._publisher.rest()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data on every rank, and logs the ground-truth table on the chief."""
        self._job.begin(self._model, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch, and checks that all ranks are in it."""
        self._job.begin_epoch(self._model, epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates if `log_freq` training batches have passed."""
        schedule = self._job.schedule
        if schedule.is_due(batch):
            self._job.evaluate(self._model, "step", schedule.batches, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluates if `log_freq` is `"epoch"`, and adds the metrics to `logs`."""
        self._job.epoch = epoch
        if self._job.schedule.by_epoch:
            self._job.evaluate(self._model, "epoch", epoch, logs)
        self._validation.add_to(logs, self._job.schedule.batches)

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Records that `fit` validates by itself."""
        if self._job.has_begun:
            self._validation.begin_fit()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Records how long `fit` took to validate; evaluates at the end of `model.evaluate`."""
        if self._job.has_begun:
            self._validation.end_fit()
        else:
            with self:
                self.evaluate(self._model, self._job.epoch, dict(logs or {}))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Waits for the chief's tables, and raises on every rank what failed in the background."""
        self._job.end(self._model)
