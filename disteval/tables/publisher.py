"""`Publisher`: runs the hooks of a callback on the chief, and logs the tables that they fill."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import wandb
from wandb.integration.keras import WandbEvalCallback

from disteval.arguments import check_bool, check_choice, check_positive
from disteval.errors import DistEvalError
from disteval.tables.artifacts import TableLog
from disteval.tables.best import Monitor
from disteval.tables.cells import store_plain_cells
from disteval.tables.disk import is_of_disk, size_of
from disteval.tables.sets import UNNAMED, SetName
from disteval.tables.version import Version
from disteval.tables.worker import Worker

# Versions that may wait to be built, each with its predictions in memory.
MAX_WAITING = 2
TOO_SLOW = (
    f"Building the prediction tables takes longer than training: {MAX_WAITING} versions wait, and "
    "training waits for them now. Log fewer samples (num_samples) or less often (log_freq), or use "
    "add_predictions with reference='row'."
)


@dataclasses.dataclass
class Publisher:
    """Builds and logs the tables of a callback, beside training or while training waits.

    Args:
        hooks: The callback, whose methods make, fill and log the tables.
        monitor: Which version is the best.
        asynchronous: Whether the hooks run on a background thread.
        waits_for_uploads: Whether `publish` waits until the version is uploaded.
        on_log_error, partitions, keep_local: See `DistEvalCallback`.
        names: The name of the set.

    Raises:
        DistEvalError: An argument is invalid.

    Attributes:
        newest: The version of the newest evaluation, set before that begins.
    """

    hooks: WandbEvalCallback
    monitor: Monitor
    asynchronous: bool
    waits_for_uploads: bool
    on_log_error: str
    partitions: int
    keep_local: bool
    names: SetName = UNNAMED

    def __post_init__(self) -> None:
        check_choice("on_log_error", self.on_log_error, ("warn", "raise"))
        check_positive("partitions", self.partitions)
        check_bool("keep_local", self.keep_local)
        self.newest = self._building = Version()
        self._writer = Worker("disteval-writer", self.asynchronous, MAX_WAITING, TOO_SLOW)
        self._log: TableLog | None = None
        # Builds the ground-truth table, if the disk failed when it was to be built.
        self._rebuild: Callable[[], None] | None = None

    @property
    def in_background(self) -> bool:
        """Whether the caller is a hook on the background thread."""
        return self._writer.is_current

    @property
    def version(self) -> Version:
        """The version that the calling hook logs; the newest one for any other caller."""
        return self._building if self.in_background else self.newest

    @property
    def log(self) -> TableLog:
        """The log of the run, which `begin` opens."""
        if self._log is None:
            raise DistEvalError(
                "Tables were logged before training. Expected: on_train_begin first, as in `fit`."
            )
        return self._log

    def check_run(self, identity: dict[str, Any] | None) -> None:
        """Raises a `DistEvalError` if there is no W&B run, and none to resume."""
        if wandb.run is None and identity is None:
            raise DistEvalError(
                "There is no W&B run on rank 0. Expected: wandb.init() is called there before "
                "training, and only there."
            )

    def begin(self, identity: dict[str, Any] | None, logs: dict[str, Any] | None) -> None:
        """Builds and logs the ground-truth table; to the run of `identity` if there is none."""
        self._open_log(identity)
        self._writer.call(lambda: self._build_data_table(logs))
        if self._rebuild is None:
            self._writer.submit(self.hooks.log_data_table)

    def publish(self) -> None:
        """Builds and logs the prediction table of the newest version, and logs its values."""
        version = self.newest
        self._writer.submit(lambda: self._build_pred_table(version))
        if self.waits_for_uploads:
            self.drain()

    def take_error(self) -> BaseException | None:
        """Returns the first error since the last call that `on_log_error` does not ignore."""
        error = self._writer.take_error()
        if error is None and self._log is not None and self.on_log_error == "raise":
            error = self._log.take_error()
        return error

    def finish(self) -> None:
        """Waits for everything that can fail with an error, and raises the first error."""
        self._writer.drain()
        if self.on_log_error == "raise":
            self.drain()
        if (error := self.take_error()) is not None:
            raise error

    def drain(self) -> None:
        """Waits until all tables are built, and uploaded or kept on disk."""
        if self._log is not None:
            self._log.drain()

    def has_version(self, alias: str) -> bool:
        """Whether W&B has committed a version of this run's predictions with an alias."""
        run = wandb.run
        if run is None or run.offline or run.disabled:
            return False
        name = self.names.artifact(f"run_{run.id}_pred")
        try:
            wandb.Api().artifact(f"{run.entity}/{run.project}/{name}:{alias}")
        except (wandb.Error, ValueError, OSError):  # W&B does not know it, or cannot be asked
            return False
        return True

    def rest(self) -> None:
        """Ends the threads, after the last version of a training."""
        if self._log is not None:
            self._log.rest()

    def _open_log(self, identity: dict[str, Any] | None) -> None:
        if wandb.run is None and identity is not None and self._log is None:
            # This rank has become the chief of an elastic job, and resumes the run.
            wandb.init(**identity, resume="allow")
        self.check_run(None)
        assert wandb.run is not None
        if self._log is None or self._log.run is not wandb.run:
            self._log = TableLog(wandb.run, self._writer, self.partitions, self.keep_local)
            self._log.begin_monitor(self.monitor)
            wandb.run.define_metric("eval/epoch")
            wandb.run.define_metric("eval/*", step_metric="eval/epoch")

    def _build_data_table(self, logs: dict[str, Any] | None) -> None:
        self._rebuild = lambda: self._build_data_table(logs)
        self.hooks.init_data_table(column_names=list(self.hooks.data_table_columns))
        store_plain_cells(self.hooks.data_table)
        with self._losing("the ground truth", lambda: self.hooks.data_table):
            self.hooks.add_ground_truth(logs)
            self._rebuild = None
        self.log.check_rows(len(self.hooks.data_table.data))

    @contextlib.contextmanager
    def _losing(self, what: str, table: Callable[[], wandb.Table]) -> Iterator[None]:
        """Turns a failure of the disk under a hook into a loss."""
        try:
            yield
        except OSError as error:
            if not is_of_disk(error):
                raise
            self.log.lose(what, str(error), size_of(table(), None), error)

    def _build_pred_table(self, version: Version) -> None:
        started = time.monotonic()
        self._building = version
        try:
            with self._losing(version.aliases[1], lambda: self.hooks.pred_table):
                self._fill_pred_table(version, started)
        finally:
            self._building = Version()  # frees the predictions

    def _fill_pred_table(self, version: Version, started: float) -> None:
        self.hooks.init_pred_table(column_names=list(self.hooks.pred_table_columns))
        store_plain_cells(self.hooks.pred_table)
        if self._rebuild is not None:
            # The disk failed when the ground-truth table was built.
            self._rebuild()
            if self._rebuild is not None:
                self.log.lose(version.aliases[1], "it has no ground truth", 0)
                return
            self.hooks.log_data_table()
        self.hooks.add_model_predictions(version.epoch, version.logs)
        if self.monitor.is_best(version.logs, version.metrics):
            version.aliases.append("best")
            self.log.remember("the best value", self.monitor.remember)
        if scalars := version.scalars():
            # In one step of the run, with the metrics that the hook added.
            self.log.log_scalars(scalars)
        seconds = version.metadata.setdefault("seconds", {})
        seconds["tables"] = round(time.monotonic() - started, 6)
        self.hooks.log_pred_table()


def own_run() -> str | None:
    """Returns the ID of this process' W&B run; `None` if it has none, or shares that of others."""
    run = wandb.run
    if run is None or run.disabled or run.settings.mode == "shared":
        return None
    return run.id


def run_identity() -> dict[str, Any] | None:
    """Returns what identifies the W&B run of this process, for another process to resume it."""
    run = wandb.run
    if run is None or run.disabled:
        return None
    return {"entity": run.entity, "project": run.project, "id": run.id}
