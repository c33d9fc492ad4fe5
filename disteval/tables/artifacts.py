"""Logging the two tables as W&B artifacts, the predictions with references into the data."""

from __future__ import annotations

import atexit
import copy
import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import wandb
from wandb.sdk.artifacts.artifact_instance_cache import artifact_instance_cache_by_client_id
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.wandb_run import TeardownHook, TeardownStage

from disteval.errors import DataError, DistEvalError
from disteval.tables.uploads import Uploads
from disteval.tables.writer import Writer

logger = logging.getLogger("disteval")


class PredictionArtifact(wandb.Artifact):
    """An artifact that refers to files of the data artifact instead of holding them again.

    W&B writes references for values of a table that it downloaded. Here they point at the
    artifact that this process logs, by its client ID: that needs no round trip, and works
    offline, where `wandb sync` resolves them.

    Args:
        name: Name of the artifact.
        type: Type of the artifact.
        data: The data artifact, complete.
        data_table: The table in it.
        data_path: The path of the table there.
        metadata: Metadata of the version.

    Attributes:
        data_url: What a reference to the data artifact starts with.
    """

    def __init__(
        self,
        name: str,
        type: str,
        data: wandb.Artifact,
        data_table: wandb.Table,
        data_path: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name, type=type, metadata=metadata)
        # W&B would hold it, with its table, until a hundred others were made; nobody asks for it.
        artifact_instance_cache_by_client_id.pop(self._client_id, None)
        self._data = data
        self._data_table = data_table
        self._data_path = data_path
        # The only name of the artifact that is known before it was uploaded is private.
        self.data_url = f"wandb-client-artifact://{data._client_id}/"

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Returns the path of a file in this artifact; W&B asks before it adds one."""
        name = super().get_added_local_path_name(local_path)
        if name is not None:
            return name
        name = self._data.get_added_local_path_name(local_path)
        if name is not None and name not in self.manifest.entries:
            self.add_reference(self.data_url + name, name)
        return name

    def add(self, obj: Any, name: Any, overwrite: bool = False) -> ArtifactManifestEntry:
        """Adds a table or media; the data table itself, for a foreign key, as a reference."""
        if obj is not self._data_table:
            return super().add(obj, name, overwrite)
        # Always under one name, so that equal predictions make equal artifacts.
        path = self._data_path
        return self.add_reference(self.data_url + path, f"media/tables/{path}")[0]

    def add_reference(
        self, uri: Any, name: Any = None, *args: Any, **kwargs: Any
    ) -> Sequence[ArtifactManifestEntry]:
        """Adds a reference.

        Those to the data artifact are made here: W&B forgets an artifact after a hundred others
        were made, and could not resolve its client ID any more.
        """
        if not isinstance(uri, str) or not uri.startswith(self.data_url):
            return super().add_reference(uri, name, *args, **kwargs)
        target = self._data.manifest.entries[uri.removeprefix(self.data_url)]
        entry = ArtifactManifestEntry(
            path=name or target.path, digest=target.digest, ref=uri, size=0
        )
        self.manifest.add_entry(entry)
        return [entry]


class TableLog:
    """The tables of one W&B run.

    Args:
        run: The run; online, offline or disabled.
        writer: What builds the tables; it is drained before the run finishes.
        partitions: Over how many tables of an artifact the rows are spread.
        keep_local: Keep on disk what was uploaded; what is logged offline stays there anyway.
    """

    def __init__(
        self, run: wandb.Run, writer: Writer, partitions: int = 1, keep_local: bool = False
    ) -> None:
        self.run = run
        self._writer = writer
        self._partitions = partitions
        self._data: _Data | None = None
        self._error: Exception | None = None
        self._uploads = None if run.offline or run.disabled else Uploads(run, keep_local)
        if not run.disabled:
            # Nothing public is called before a run finishes, be it by `finish` or by leaving a
            # `with` block, and callbacks learn nothing of a `fit` that was interrupted.
            run._teardown_hooks.append(TeardownHook(self._close, TeardownStage.EARLY))
            # A run that is still open when the interpreter exits is finished by W&B's service
            # alone, without those hooks. This comes first, as the service was started before.
            atexit.register(self._close)

    def check_rows(self, rows: int) -> None:
        """Raises if W&B would cut a table of so many rows."""
        limit = wandb.Table.MAX_ARTIFACT_ROWS * self._partitions
        if rows > limit:
            raise DataError(
                f"Received: a table of {rows} rows. Expected: {limit} at most, which is what W&B "
                f"stores in an artifact with partitions={self._partitions}. Set num_samples to "
                f"evaluate fewer, or partitions={-(-rows // wandb.Table.MAX_ARTIFACT_ROWS)}."
            )

    def log_data(self, table: wandb.Table, name: str, type: str, table_name: str) -> None:
        """Logs the ground-truth table; the run uses it where W&B can record that."""
        if self.run.disabled:
            return
        artifact = wandb.Artifact(name, type=type)
        path = self._add(artifact, table, table_name)
        package = ""
        if self._uploads is None:
            # Offline, `use_artifact` is refused.
            self._try(name, lambda: self.run.log_artifact(artifact))
        else:
            artifact.finalize()
            package = self._uploads.add(artifact, aliases=[])
        self._data = _Data(artifact, table, path, package)

    def log_predictions(
        self,
        table: wandb.Table,
        type: str,
        table_name: str,
        aliases: list[str],
        metadata: dict[str, Any],
    ) -> None:
        """Logs a version of the prediction table, with references to the data artifact."""
        if self.run.disabled:
            return
        if self._data is None:
            raise DistEvalError(
                "log_pred_table was called before log_data_table. Expected: the ground-truth "
                "table is logged first, for the predictions to refer to."
            )
        data = self._data
        artifact = PredictionArtifact(
            f"run_{self.run.id}_pred",
            type,
            data.artifact,
            data.table,
            data.path,
            _finite(metadata),
        )
        self._add(artifact, table, table_name)
        if self._uploads is None:
            self._try(artifact.name, lambda: self.run.log_artifact(artifact, aliases=aliases))
        else:
            self._uploads.add(artifact, aliases, data=data.package, data_url=artifact.data_url)

    def log_scalars(self, values: dict[str, Any]) -> None:
        """Logs values to the run."""
        self._try("values of an evaluation", lambda: self.run.log(values))

    def drain(self) -> None:
        """Waits until all tables are built, and uploaded or kept on disk."""
        self._writer.drain()
        if self._uploads is not None:
            self._uploads.drain()

    def raise_error(self) -> None:
        """Raises what W&B failed with since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise DistEvalError(f"W&B failed: {error}") from error
        if self._uploads is not None:
            self._uploads.raise_error()

    def _try(self, what: str, log: Callable[[], Any]) -> None:
        """Has W&B log something, which only fails with its service, or in a run that is over."""
        try:
            log()
        except (wandb.Error, OSError) as error:
            self._error = self._error or error
            logger.warning("W&B could not log %s (%s).", what, error)

    def _close(self) -> None:
        atexit.unregister(self._close)
        self._writer.drain()
        if self._uploads is not None:
            self._uploads.close()

    def _add(self, artifact: wandb.Artifact, table: wandb.Table, name: str) -> str:
        """Adds a table, in several parts where that was asked for; returns its path."""
        self.check_rows(len(table.data))
        if self._partitions == 1:
            return artifact.add(table, name).path
        size = -(-len(table.data) // self._partitions)
        for i in range(self._partitions):
            part = copy.copy(table)
            part.data = table.data[i * size : (i + 1) * size]
            artifact.add(part, f"{name}_parts/{i:06d}")
        return artifact.add(wandb.data_types.PartitionedTable(f"{name}_parts"), name).path


@dataclasses.dataclass
class _Data:
    """The ground-truth table that was logged last."""

    artifact: wandb.Artifact
    table: wandb.Table
    path: str
    package: str


def _finite(value: Any) -> Any:
    """Spells out NaN and infinities, such as the loss of a run that diverged: JSON lacks them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
