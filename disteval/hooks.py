"""The two tables of the callback: what a subclass fills, and how that becomes W&B artifacts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import wandb
from wandb.integration.keras import WandbEvalCallback

from disteval.errors import DistEvalError
from disteval.schedule import Monitor
from disteval.tables import (
    DataTableRef,
    TableLog,
    Writer,
    build_pred_table,
    needs_main_thread,
    store_plain_cells,
)
from disteval.version import Version


class TableCallback(WandbEvalCallback):
    """Builds and logs tables, on the chief alone; `DistEvalCallback` says when, and of what.

    The hooks run on the writer's thread, and so beside training, if the writer has one.

    Args:
        data_table_columns: See `DistEvalCallback`, as for all others but these two.
        pred_table_columns: See there.
        is_chief: Whether this rank logs.
        writer: What runs the hooks.
    """

    def __init__(
        self,
        data_table_columns: list[str],
        pred_table_columns: list[str],
        *,
        is_chief: bool,
        writer: Writer,
        reference: str,
        on_log_error: str,
        monitor: Monitor,
        partitions: int,
        keep_local: bool,
    ) -> None:
        if is_chief:
            super().__init__(data_table_columns, pred_table_columns)
        else:
            # Only the chief has a run, and the base class insists on one.
            super(WandbEvalCallback, self).__init__()
        self.data_table_columns = data_table_columns
        self.pred_table_columns = pred_table_columns
        self.reference = reference
        self.on_log_error = on_log_error
        self.partitions = partitions
        self.keep_local = keep_local
        self._writer = writer
        self._monitor = monitor
        self._tables: TableLog | None = None
        self._newest = self._at_work = Version.none()

    @property
    def predictions(self) -> Any:
        """On the chief, the predictions of all samples; in a hook, those of its evaluation."""
        return (self._at_work if self._writer.is_current else self._newest).predictions

    @property
    def model(self) -> Any:
        """The model that is trained; not to be had on the writer's thread."""
        if self._writer.is_current:
            raise needs_main_thread("self.model")
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        # Keras 2 sets the attribute, Keras 3 calls `set_model`.
        self._model = model

    def add_predictions(self, **columns: Any) -> None:
        """Fills `pred_table` from whole columns; for `add_model_predictions`.

        Args:
            columns: A sequence with a value for each row of the ground-truth table, such as an
                array of shape `(samples, ...)`, for each column of `pred_table_columns` but for
                those of the ground-truth table, which are referred to, and `epoch` and `step`.
                With `reference="row"`, a foreign key `row` stands for the former.

        Raises:
            DataError: Columns are unknown or missing, or have the wrong length.
        """
        if self.pred_table.data:
            raise DistEvalError(
                "Received: add_predictions for a pred_table that has rows. Expected: one call of "
                "add_predictions, or add_data row by row, for each version."
            )
        self.pred_table = store_plain_cells(
            build_pred_table(
                self.pred_table_columns,
                self.data_table,
                columns,
                number={key: self._at_work.metadata[key] for key in ("epoch", "step")},
                by_row=self.reference == "row",
            )
        )

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds values of this evaluation to the run, as `eval/<name>`; for `add_model_predictions`.

        Args:
            metrics: Numbers, which the version's metadata keep as well, and what else `run.log`
                takes, such as a plot.
        """
        self._at_work.add_metrics(metrics)

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
        self._log.log_data(self.data_table, name, type, table_name)
        self.data_table_ref: Any = DataTableRef(self.data_table)

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
        version = self._at_work
        self._log.log_predictions(
            self.pred_table, type, table_name, aliases or version.aliases, version.metadata
        )

    @property
    def _log(self) -> TableLog:
        if self._tables is None:
            raise DistEvalError(
                "Tables were to be logged before training. Expected: on_train_begin first, as "
                "`fit` calls it."
            )
        return self._tables

    def _start_tables(self, identity: dict[str, Any] | None) -> None:
        """Logs to the run of this process from now on, or to the one that others know of."""
        if wandb.run is None and identity is not None and self._tables is None:
            # This rank has become the chief of an elastic job: the run goes on.
            wandb.init(**identity, resume="allow")
        if wandb.run is None:
            raise DistEvalError("There is no W&B run. Call wandb.init() before training.")
        if self._tables is None or self._tables.run is not wandb.run:
            self._tables = TableLog(wandb.run, self._writer, self.partitions, self.keep_local)
            wandb.run.define_metric("eval/epoch")
            wandb.run.define_metric("eval/*", step_metric="eval/epoch")

    def _build_data_table(self, logs: dict[str, float] | None) -> None:
        self.init_data_table(column_names=list(self.data_table_columns))
        store_plain_cells(self.data_table)
        self.add_ground_truth(logs)
        self._log.check_rows(len(self.data_table.data))

    def _build_pred_table_behind(self, version: Version) -> None:
        """Does so on the writer's thread, where the version is nobody's after it."""
        self._at_work = version
        try:
            self._build_pred_table(version)
        finally:
            self._at_work = Version.none()

    def _build_pred_table(self, version: Version) -> None:
        started = time.monotonic()
        if self._monitor.is_best(version.logs):
            version.aliases.append("best")
        self.init_pred_table(column_names=list(self.pred_table_columns))
        store_plain_cells(self.pred_table)
        self.add_model_predictions(version.epoch, version.logs)
        if scalars := version.scalars():
            # With the metrics that the hook added, in one step of the run.
            self._log.log_scalars(scalars)
        seconds = version.metadata.setdefault("seconds", {})
        seconds["tables"] = round(time.monotonic() - started, 6)
        self.log_pred_table()

    def _raise_background_error(self) -> None:
        self._writer.raise_error()
        if self._tables is not None and self.on_log_error == "raise":
            self._tables.raise_error()

    def _background_error(self) -> BaseException | None:
        """Returns what failed in the background since the last evaluation."""
        try:
            self._raise_background_error()
        except BaseException as error:
            return error
        return None


def run_identity() -> dict[str, Any] | None:
    """Returns what it takes to go on with the W&B run of this process."""
    run = wandb.run
    if run is None or run.disabled:
        return None
    return {"entity": run.entity, "project": run.project, "id": run.id}
