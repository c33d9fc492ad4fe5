"""Building the two W&B tables, and logging them while training goes on.

`cells` makes what goes into a table, `artifacts` makes tables artifacts, `writer` is the thread
on which both happen; `packages` keeps them on disk until `uploads` got them to W&B.
"""

from disteval.tables.artifacts import TableLog
from disteval.tables.cells import DataTableRef, build_pred_table, store_plain_cells
from disteval.tables.writer import Writer, needs_main_thread

__all__ = [
    "DataTableRef",
    "TableLog",
    "Writer",
    "build_pred_table",
    "needs_main_thread",
    "store_plain_cells",
]
