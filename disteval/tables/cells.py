"""Cells and columns of W&B tables: plain values, and rows of the ground-truth table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

from disteval.errors import DataError

# Arrays with more values stay arrays, which W&B stores in a file beside the table. All cells of
# such a column need one shape; smaller ones become lists, which may differ.
MAX_LISTED = 1024


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
    arrays, as ragged predictions are, become lists. Short arrays become lists, or `None` if
    there is a NaN in them, which W&B cannot store.
    """
    if isinstance(cell, tf.RaggedTensor):
        return plain(cell.to_list())
    if isinstance(cell, tf.Tensor | tf.Variable):
        cell = cell.numpy()
    if isinstance(cell, bytes):
        return cell.decode(errors="backslashreplace")
    if isinstance(cell, np.generic) or (isinstance(cell, np.ndarray) and cell.ndim == 0):
        value = cell.item()
        # NumPy gives a long double back as it is.
        return float(value) if isinstance(value, np.floating) else plain(value)
    if isinstance(cell, np.ndarray):
        return _plain_array(cell)
    if type(cell) in (list, tuple):
        items = [plain(item) for item in cell]
        # As in an array; see `_plain_array`.
        return None if any(isinstance(item, float) and item != item for item in items) else items
    if type(cell) is dict:
        return {key: plain(value) for key, value in cell.items()}
    return cell


def build_pred_table(
    names: Sequence[str],
    data: wandb.Table,
    given: Mapping[str, Any],
    *,
    number: Mapping[str, int],
    by_row: bool,
) -> wandb.Table:
    """Builds a prediction table from whole columns.

    Args:
        names: The columns of the table.
        data: The ground-truth table, whose columns can be referred to by name.
        given: The columns of predictions: a sequence with a value for each sample.
        number: Columns with one value in all rows, such as `{"epoch": 3}`.
        by_row: Refer to the ground truth by one foreign key `row` instead of by cells.

    Raises:
        DataError: A column is unknown, or has not one value for each row of `data`.
    """
    rows = len(data.data)
    unknown = [name for name in given if name not in names]
    missing = [n for n in names if n not in given and n not in data.columns and n not in number]
    if unknown or missing:
        raise DataError(
            f"Received: columns {list(given)}. Expected: those of pred_table_columns, {list(names)}"
            f", but for the ground-truth columns {data.columns} and {list(number)}. "
            f"Unknown: {unknown}; missing: {missing}."
        )
    plain_columns = {name: plain_column(column) for name, column in given.items()}
    for name, column in plain_columns.items():
        if len(column) != rows:
            raise DataError(
                f"Received: {len(column)} values in column {name!r}. Expected: {rows}, one for "
                "each row of the ground-truth table."
            )
    table = wandb.Table(columns=[])
    if by_row:
        table.add_column("row", data.get_index())
    for name in names:
        if name in plain_columns:
            # Optional as in a table of `add_data`: for W&B, NaN is no number.
            table.add_column(name, plain_columns[name], optional=True)
        elif name in number:
            table.add_column(name, [number[name]] * rows)
        elif not by_row:
            table.add_column(name, data.get_column(name), optional=True)
    return table


def plain_column(column: Any) -> list[Any]:
    """Returns a column as a list of plain cells."""
    if isinstance(column, tf.RaggedTensor):
        column = column.to_list()
    if isinstance(column, tf.Tensor):
        column = column.numpy()
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "biuf":
        return column.tolist()
    return [plain(cell) for cell in column]


def _plain_array(array: np.ndarray) -> Any:
    if array.dtype == object or array.dtype.kind in "SU":
        return [plain(item) for item in array]
    if array.dtype.kind == "V":  # bfloat16 and other types that only TensorFlow knows
        array = array.astype(np.float32)
    if array.size > MAX_LISTED:
        return array
    # W&B refuses lists with NaN in a column of lists, and a model that diverged gives such.
    missing = array.dtype.kind == "f" and np.isnan(array).any()
    return None if missing else array.tolist()
