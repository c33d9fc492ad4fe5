"""The tables of artifacts on this machine, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disteval.errors import DistEvalError
from disteval.report.transactions import PARTITIONED, StoredArtifact
from disteval.tables import run_folder


def read_data(artifact: StoredArtifact) -> dict[str, list[Any]]:
    """Returns the columns of the ground truth."""
    assert artifact.table_path is not None
    return read_table(artifact, artifact.table_path)[0]


def read_table(
    artifact: StoredArtifact, path: str
) -> tuple[dict[str, list[Any]], list[int] | None]:
    """Returns the columns of a table, and its foreign key into the data table if it has one."""
    try:
        return _columns(artifact, path)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise DistEvalError(
            f"A table of the run is damaged: {artifact.files[path]} ({type(error).__name__}: "
            f"{error})."
        ) from None


def _columns(artifact: StoredArtifact, path: str) -> tuple[dict[str, list[Any]], list[int] | None]:
    table = read_json(artifact.files[path])
    parts = [table]
    if path.endswith(PARTITIONED):
        inside = sorted(p for p in artifact.files if p.startswith(table["parts_path"] + "/"))
        parts = [read_json(artifact.files[p]) for p in inside]
    names = parts[0]["columns"]
    types = parts[0]["column_types"]["params"]["type_map"]
    rows = [row for part in parts for row in part["data"]]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    for name in names:
        if types.get(name, {}).get("wb_type") == "foreignIndex":
            return columns, [int(row) for row in columns.pop(name)]
    return columns, None


def truth_of(
    columns: Mapping[str, list[Any]], rows: list[int] | None, data: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Returns the columns of the ground-truth table: by the foreign key, or row by row."""
    num_rows = len(next(iter(columns.values()), []))
    num_data = len(next(iter(data.values()), []))
    if rows is None:
        if num_rows != num_data:  # a subset of the rows; its table holds all columns to show
            return {}
        rows = list(range(num_rows))
    outside = [row for row in rows if not 0 <= row < num_data]
    if outside:
        raise DistEvalError(
            f"A table of the run is damaged: it refers to row {outside[0]} of a ground-truth table "
            f"of {num_data} rows."
        )
    return {name: [data[name][i] for i in rows] for name in data}


def read_json(path: Path) -> Any:
    """Reads a JSON file of a run.

    Raises:
        DistEvalError: It is damaged, or no longer there.
    """
    try:
        return run_folder.read_json(path)
    except FileNotFoundError:
        raise DistEvalError(
            f"A table of the run is no longer on this machine: {path}. W&B stages the tables of an "
            "offline run outside of its directory (WANDB_DATA_DIR), and moves them to its cache "
            "(WANDB_CACHE_DIR) when they are synced."
        ) from None
