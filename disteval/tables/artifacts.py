"""Logs the two tables as W&B artifacts; the predictions refer to the files of the ground truth."""

from __future__ import annotations

import atexit
import contextlib
import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import wandb

from disteval.errors import DataError, DistEvalError
from disteval.tables import wandb_private
from disteval.tables.best import Monitor
from disteval.tables.disk import drop_staged, size_of
from disteval.tables.offline import OfflineLog
from disteval.tables.packages import MOVING
from disteval.tables.uploads import Uploads
from disteval.tables.wandb_private import ArtifactManifestEntry, media_dir, staging_dir
from disteval.tables.worker import Worker

logger = logging.getLogger("disteval")


class LoggedData(NamedTuple):
    """A ground-truth table that was logged.

    Attributes:
        artifact: Its artifact, complete.
        table: The table itself.
        path: The path of the table in the artifact.
        package: The name of its package; empty if the run is offline.
    """

    artifact: wandb.Artifact
    table: wandb.Table
    path: str
    package: str = ""


class PredictionArtifact(wandb.Artifact):
    """An artifact that refers to files of the data artifact instead of storing them again.

    W&B itself refers only to an artifact that was uploaded and downloaded again. These references
    name the data artifact by its client ID: without a round trip, and also offline, where
    `wandb sync` resolves them.

    Args:
        name, type, metadata: See `wandb.Artifact`.
        data: The ground truth to refer to.

    Attributes:
        data_url: Prefix of the references to the data artifact.
    """

    def __init__(
        self, name: str, type: str, data: LoggedData, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(name, type=type, metadata=metadata)
        wandb_private.forget_instance(self)
        self._data = data
        self.data_url = f"wandb-client-artifact://{wandb_private.client_id(data.artifact)}/"

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Returns the path of a file in this artifact; W&B calls this before it adds a file."""
        name = super().get_added_local_path_name(local_path)
        if name is not None:
            return name
        name = self._data.artifact.get_added_local_path_name(local_path)
        if name is not None and name not in self.manifest.entries:
            self.add_reference(self.data_url + name, name)
        return name

    def add(self, obj: Any, name: Any, overwrite: bool = False) -> ArtifactManifestEntry:
        """Adds a table or media; the data table itself, for a foreign key, as a reference."""
        if obj is not self._data.table:
            return super().add(obj, name, overwrite)
        # Always under the same name, so that equal predictions make equal artifacts.
        path = self._data.path
        return self.add_reference(self.data_url + path, f"media/tables/{path}")[0]

    def add_reference(
        self, uri: Any, name: Any = None, *args: Any, **kwargs: Any
    ) -> Sequence[ArtifactManifestEntry]:
        """Adds a reference.

        References to the data artifact are made here: W&B drops an artifact from memory after a
        hundred others were made, and could not resolve its client ID any more.
        """
        if not isinstance(uri, str) or not uri.startswith(self.data_url):
            return super().add_reference(uri, name, *args, **kwargs)
        target = self._data.artifact.manifest.entries[uri.removeprefix(self.data_url)]
        entry = ArtifactManifestEntry(
            path=name or target.path, digest=target.digest, ref=uri, size=0
        )
        self.manifest.add_entry(entry)
        return [entry]


class TableLog:
    """Logs tables to one W&B run.

    Args:
        run: The run; online, offline or disabled.
        writer: Runs the jobs that build the tables; it is drained before the run finishes.
        partitions: Number of tables of an artifact over which the rows are spread.
        keep_local: Keep the tables on disk after their upload, as those of an offline run are.
    """

    def __init__(
        self, run: wandb.Run, writer: Worker, partitions: int = 1, keep_local: bool = False
    ) -> None:
        self.run = run
        self._writer = writer
        self._partitions = partitions
        self._keep_local = keep_local
        self._data: LoggedData | None = None
        self._uploader = Worker("disteval-uploads")
        # Writes the newest ground-truth table; `None` before there is any.
        self._write_data: Callable[[], None] | None = None
        self._is_online = not run.offline and not run.disabled
        self._uploads: Uploads | None = None
        self._offline = OfflineLog(run, self.lose)
        if not run.disabled:
            wandb_private.on_teardown(run, self._close)
            # If a run is still open when the interpreter exits, W&B's service finishes it without
            # that hook. This runs before, as the service was started earlier.
            atexit.register(self._close)

    def check_rows(self, rows: int) -> None:
        """Raises `DataError` if W&B would cut off a table with so many rows."""
        limit = wandb.Table.MAX_ARTIFACT_ROWS * self._partitions
        if rows > limit:
            raise DataError(
                f"The table is too long. Received: {rows} rows. Expected: {limit} at most, which "
                f"W&B stores in one artifact of partitions={self._partitions}. Set num_samples to "
                f"evaluate fewer, or partitions={-(-rows // wandb.Table.MAX_ARTIFACT_ROWS)}."
            )

    def log_data(self, table: wandb.Table, name: str, type: str, table_name: str) -> None:
        """Logs the ground-truth table. An online run uses it; W&B refuses that offline.

        If the disk fails, the table is written again before the first version that needs it.
        """
        if self.run.disabled:
            return
        self._data = None
        self._write_data = lambda: self.log_data(table, name, type, table_name)
        artifact = wandb.Artifact(name, type=type)
        what = f"the ground truth {name}"
        with self._losing(what, table, artifact):
            path = self._add(artifact, table, table_name)
            artifact.finalize()
            self._data = LoggedData(artifact, table, path, self._log(artifact, [], what))

    def log_predictions(
        self,
        table: wandb.Table,
        type: str,
        table_name: str,
        aliases: list[str],
        metadata: Any,
        name: str | None = None,
    ) -> None:
        """Logs a version of the prediction table, with references to the data artifact."""
        if self.run.disabled:
            return
        if self._write_data is None:
            raise DistEvalError(
                "log_pred_table was called before log_data_table. Expected: log_data_table first, "
                "since the predictions refer to the ground-truth table."
            )
        name = name or f"run_{self.run.id}_pred"
        version = next((alias for alias in aliases if alias not in MOVING), "a version")
        what = f"{version} of {name}"
        if self._data is None:
            self._write_data()
        if self._data is None:
            self.lose(what, "its ground truth could not be written", size_of(table, None))
            return
        artifact = PredictionArtifact(name, type, self._data, _finite(metadata))
        with self._losing(what, table, artifact):
            self._add(artifact, table, table_name)
            self._log(artifact, aliases, what, data=self._data.package, data_url=artifact.data_url)

    def lose(self, what: str, reason: str, num_bytes: int, cause: OSError | None = None) -> None:
        """Records that something was lost to the disk, and names it.

        Args:
            what: What was lost, such as epoch_3 of run_abc_pred.
            reason: Why.
            num_bytes: About how much it needs.
            cause: The error.
        """
        message = (
            f"The disk failed, and {what} is lost: {reason}. It needs about {num_bytes:,} bytes in "
            f"{self.run.dir}, {staging_dir()} and {media_dir()}."
        )
        self._uploader.record(DistEvalError(message), cause)
        if self._is_online:
            message += " Later versions are logged when there is space again."
        logger.warning(message)

    @contextlib.contextmanager
    def _losing(self, what: str, table: wandb.Table, artifact: wandb.Artifact) -> Iterator[None]:
        """Turns a failure of the disk into a loss."""
        try:
            yield
        except OSError as error:
            self.lose(what, str(error), size_of(table, artifact), error)
            drop_staged(artifact)

    def log_scalars(self, values: dict[str, Any]) -> None:
        """Logs values to the run."""
        self._try("values of an evaluation", lambda: self.run.log(values))

    def begin_monitor(self, monitor: Monitor) -> None:
        """Tells which value was the best of the run so far."""
        if not self.run.disabled:
            self._try("the best value", lambda: monitor.begin(self.run))

    def remember(self, what: str, write: Callable[[wandb.Run], None]) -> None:
        """Writes down with the run what a later part of it needs, such as `"the best value"`."""
        if not self.run.disabled:
            self._try(what, lambda: write(self.run))

    def drain(self) -> None:
        """Waits until all tables are built, and uploaded or kept on disk."""
        self._writer.drain()
        if self._uploads is not None:
            self._uploads.drain()
        if self.run.offline:
            self._offline.check()

    def take_error(self) -> BaseException | None:
        """Returns the first failure of W&B since the last call; `None` if there was none."""
        return self._uploader.take_error()

    def rest(self) -> None:
        """Ends the threads until there is something to do again."""
        self._writer.stop()
        self._uploader.stop()

    def _log(
        self, artifact: wandb.Artifact, aliases: list[str], what: str, **references: str
    ) -> str:
        """Uploads an artifact, or logs it to an offline run; returns the name of its package."""
        if self._is_online:
            if self._uploads is None:
                self._uploads = Uploads(self.run, self._uploader, self._keep_local)
            return self._uploads.add(artifact, aliases, **references)
        if reason := self._offline.check():
            raise OSError(reason)
        self._try(artifact.name, lambda: self._offline.add(artifact, aliases, what))
        return ""

    def _try(self, what: str, log: Callable[[], Any]) -> None:
        """Calls W&B, which fails only if its service has ended or the run is over."""
        try:
            log()
        except (wandb.Error, OSError) as error:
            self._uploader.record(DistEvalError(f"W&B failed: {error}"), error)
            logger.warning("W&B could not log %s (%s).", what, error)

    def _close(self) -> None:
        atexit.unregister(self._close)
        self.drain()
        self._uploader.close()
        self.rest()

    def _add(self, artifact: wandb.Artifact, table: wandb.Table, name: str) -> str:
        """Adds a table to an artifact, spread over the partitions, and returns its path there."""
        self.check_rows(len(table.data))
        if self._partitions == 1:
            return artifact.add(table, name).path
        size = -(-len(table.data) // self._partitions)
        for i in range(self._partitions):
            part = copy.copy(table)
            part.data = table.data[i * size : (i + 1) * size]
            artifact.add(part, f"{name}_parts/{i:06d}")
        return artifact.add(wandb.data_types.PartitionedTable(f"{name}_parts"), name).path


def _finite(value: Any) -> Any:
    """Replaces NaN and infinities, such as the loss of a diverged model, by text for JSON."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
