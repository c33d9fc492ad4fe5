"""Cells and columns of W&B tables: plain values, and references to the ground-truth table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

from disteval.errors import DataError

# Arrays with more values stay arrays, which W&B stores in a file beside the table; all arrays of
# one column need the same shape. Smaller arrays become lists, whose lengths may differ.
MAX_LISTED = 1024


class DataTableRef:
    """The logged ground-truth table, whose cells can be put into the prediction table.

    Media among them, such as images, become references to the files of the data artifact.

    Attributes:
        table: The `wandb.Table` itself; its attributes can be read from this object, too.
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

    # On the instance, since a subclass would replace `Table` in W&B's registry of types.
    table.add_data = add_plain_data  # type: ignore[method-assign]
    table.add_column = add_plain_column  # type: ignore[method-assign]
    return table


def plain(cell: Any) -> Any:
    """Returns a cell with the same value in a type that W&B can store and read back.

    Tensors become arrays, scalars become Python numbers, bytes become text, and bfloat16 becomes
    float32. Ragged arrays, which hold arrays, become lists. Short arrays become lists as well, or
    `None` if they hold a NaN, which W&B refuses in a list.
    """
    if isinstance(cell, tf.RaggedTensor):
        return plain(cell.to_list())
    if isinstance(cell, tf.Tensor | tf.Variable):
        cell = cell.numpy()
    if isinstance(cell, bytes):
        return cell.decode(errors="backslashreplace")
    if isinstance(cell, np.generic) or (isinstance(cell, np.ndarray) and cell.ndim == 0):
        value = cell.item()
        # `item` of a long double returns a long double.
        return float(value) if isinstance(value, np.floating) else plain(value)
    if isinstance(cell, np.ndarray):
        return _plain_array(cell)
    if type(cell) in (list, tuple):
        items = [plain(item) for item in cell]
        # W&B refuses NaN here as in an array; see `_plain_array`.
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
        names: Names of the columns.
        data: The ground-truth table. Columns with the names of its columns hold its cells.
        given: The other columns by name, each a sequence with one value for each row of `data`.
        number: Columns with the same value in all rows, such as `{"epoch": 3}`.
        by_row: Refer to the ground truth by one foreign key `row` instead of by cells.

    Raises:
        DataError: A column is unknown or missing, or has the wrong length.
    """
    rows = len(data.data)
    unknown = [name for name in given if name not in names]
    missing = [n for n in names if n not in given and n not in data.columns and n not in number]
    if unknown or missing:
        raise DataError(
            f"Columns do not match pred_table_columns. Unknown: {unknown}; missing: {missing}. "
            f"Received: {list(given)}. Expected: the columns {list(names)}, except for the "
            f"ground-truth columns {data.columns} and {list(number)}."
        )
    plain_columns = {name: plain_column(column) for name, column in given.items()}
    for name, column in plain_columns.items():
        if len(column) != rows:
            raise DataError(
                f"Column {name!r} has the wrong length. Received: {len(column)} values. "
                f"Expected: {rows}, one for each row of the ground-truth table."
            )
    table = wandb.Table(columns=[])
    if by_row:
        table.add_column("row", data.get_index())
    for name in names:
        if name in plain_columns:
            add_column(table, name, plain_columns[name])
        elif name in number:
            add_column(table, name, [number[name]] * rows)
        elif not by_row:
            add_column(table, name, data.get_column(name))
    return table


def add_column(table: wandb.Table, name: str, cells: Sequence[Any]) -> None:
    """Adds a column of plain cells to a table.

    The column is optional only if a cell is missing, which NaN is to W&B as well: its check of the
    cells of an optional column takes six times as long.
    """
    missing = any(cell is None or (isinstance(cell, float) and cell != cell) for cell in cells)
    table.add_column(name, list(cells), optional=missing)


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
    if array.dtype.kind == "V":  # bfloat16 and other types that NumPy does not have
        array = array.astype(np.float32)
    if array.size > MAX_LISTED:
        return array
    # W&B refuses NaN in a column of lists, and a model that has diverged predicts NaN.
    missing = array.dtype.kind == "f" and np.isnan(array).any()
    return None if missing else array.tolist()
