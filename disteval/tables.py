"""W&B tables and artifacts: plain cells, references into the data table, versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from disteval.errors import DistEvalError


class DataTableRef:
    """The logged ground-truth table, for rows of the prediction table to refer to.

    Cells that are media, such as images, become references to the files of the data artifact.

    Attributes:
        table: The `wandb.Table` itself. Its `data`, `columns`, `get_index()` and everything else
            are at hand here, too.
    """

    def __init__(self, table: wandb.Table) -> None:
        self.table = table

    def __getitem__(self, index: int) -> list[Any]:
        """Returns the cells of row `index`, as in `data_table_ref[index][column]`."""
        return self.table.data[index]

    def __len__(self) -> int:
        return len(self.table.data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


class PredictionArtifact(wandb.Artifact):
    """An artifact that refers to files of the data artifact instead of holding them again.

    W&B writes references for values of a table that it downloaded. Here they point at the
    artifact that this process logged, by its client ID: that needs no round trip, and works
    offline, where `wandb sync` resolves them.
    """

    def __init__(
        self, name: str, type: str, data: wandb.Artifact, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(name, type=type, metadata=metadata)
        self._data = data
        # The only name of the artifact that is known before it was uploaded is private.
        self._data_url = f"wandb-client-artifact://{data._client_id}/"

    def get_added_local_path_name(self, local_path: str) -> str | None:
        """Returns the path of a file in this artifact; W&B asks before it adds one."""
        name = super().get_added_local_path_name(local_path)
        if name is not None:
            return name
        name = self._data.get_added_local_path_name(local_path)
        if name is not None and name not in self.manifest.entries:
            self.add_reference(self._data_url + name, name)
        return name

    def add_reference(
        self, uri: Any, name: Any = None, *args: Any, **kwargs: Any
    ) -> Sequence[ArtifactManifestEntry]:
        """Adds a reference.

        Those to the data artifact are made here: W&B forgets an artifact after a hundred others
        were made, and could not resolve its client ID any more.
        """
        if not isinstance(uri, str) or not uri.startswith(self._data_url):
            return super().add_reference(uri, name, *args, **kwargs)
        target = self._data.manifest.entries[uri.removeprefix(self._data_url)]
        entry = ArtifactManifestEntry(
            path=name or target.path, digest=target.digest, ref=uri, size=0
        )
        self.manifest.add_entry(entry)
        return [entry]


def store_plain_cells(table: wandb.Table) -> wandb.Table:
    """Makes `table.add_data` and `table.add_column` store plain values.

    W&B infers a column's type from the first cell, and a table with cells of TensorFlow or NumPy
    scalars cannot be read back by `artifact.get`.
    """
    add_data, add_column = table.add_data, table.add_column

    def add_plain_data(*cells: Any) -> None:
        add_data(*map(plain, cells))

    def add_plain_column(name: str, data: Any, optional: bool = False) -> None:
        add_column(name, [plain(cell) for cell in data], optional)

    # On the instance: a subclass would take over the type name "table" in W&B's registry.
    table.add_data = add_plain_data  # type: ignore[method-assign]
    table.add_column = add_plain_column  # type: ignore[method-assign]
    return table


def plain(cell: Any) -> Any:
    """Returns a cell as W&B can store it and read it back, with the same value.

    Tensors become arrays, scalars Python numbers, bytes text, bfloat16 float32; arrays of
    arrays, as ragged predictions are, become lists.
    """
    if isinstance(cell, tf.RaggedTensor):
        return plain(cell.to_list())
    if isinstance(cell, tf.Tensor | tf.Variable):
        cell = cell.numpy()
    if isinstance(cell, bytes):
        return cell.decode(errors="backslashreplace")
    if isinstance(cell, np.generic) or (isinstance(cell, np.ndarray) and cell.ndim == 0):
        return plain(cell.item())
    if isinstance(cell, np.ndarray):
        return _plain_array(cell)
    if type(cell) in (list, tuple):
        return [plain(item) for item in cell]
    if type(cell) is dict:
        return {key: plain(value) for key, value in cell.items()}
    return cell


def log_data_table(
    run: wandb.Run, table: wandb.Table, *, name: str, type: str, table_name: str
) -> wandb.Artifact | None:
    """Logs the ground-truth table, and declares it as used by the run where W&B can do so.

    Returns:
        The artifact for `log_pred_table` to refer to; `None` if W&B is disabled.
    """
    if run.disabled:
        return None
    artifact = wandb.Artifact(name, type=type)
    artifact.add(table, table_name)
    if run.offline:
        run.log_artifact(artifact)  # `use_artifact` needs the server
    else:
        run.use_artifact(artifact)
    return artifact


def log_pred_table(
    run: wandb.Run,
    table: wandb.Table,
    data: wandb.Artifact | None,
    *,
    type: str,
    table_name: str,
    aliases: list[str],
    metadata: dict[str, Any],
) -> None:
    """Logs a version of the prediction table, with references to the data artifact."""
    if run.disabled:
        return
    if data is None:
        raise DistEvalError(
            "log_pred_table was called before log_data_table. Expected: the ground-truth table "
            "is logged first, for the predictions to refer to."
        )
    artifact = PredictionArtifact(f"run_{run.id}_pred", type, data, metadata)
    artifact.add(table, table_name)
    run.log_artifact(artifact, aliases=aliases)


def _plain_array(array: np.ndarray) -> Any:
    if array.dtype == object or array.dtype.kind in "SU":
        return [plain(item) for item in array]
    if array.dtype.kind == "V":  # bfloat16 and other types that only TensorFlow knows
        return array.astype(np.float32)
    return array
