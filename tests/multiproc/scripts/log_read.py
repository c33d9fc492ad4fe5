"""Reads back, in another process, what `log_cells.py` logged, and checks each cell."""

from __future__ import annotations

import base64
import math
import sys

import numpy as np
import wandb

ROWS = 5
X = np.arange(ROWS * 12, dtype=np.uint8).reshape(ROWS, 2, 2, 3)
EXPECTED = {
    "sum": [float(x.sum()) for x in X],
    "int64": [-(2**53), -1, 0, 1, 2**53],
    "float32": [float(np.float32(value)) for value in (0.1, -0.0, 1e-45, 3e38, 1 / 3)],
    "bfloat16": [0.10009765625, 1.0, 2.0, 3.0, 4.0],
    "bool": [True, False, True, False, True],
    "text": ["a", "ü", "", r"\xff", "e"],
    "none": [None, 1.5, None, 2.5, None],
    # For W&B, NaN is a missing value.
    "not finite": [None, 1.0, math.inf, -math.inf, 2.0],
    "vector": [[3.0 * i, 3.0 * i + 1, 3.0 * i + 2] for i in range(ROWS)],
    "ragged": [[1], [], [2, 3], [4, 5, 6], []],
    "nested": [{"box": [1, 2], "score": 0.5}] * ROWS,
}


def read(version: wandb.Artifact) -> tuple[list[str], list[list]]:
    """The columns and rows of a table, whole or in parts."""
    table = version.get("eval_data")
    rows = [row for _, row in table.iterrows()]
    if isinstance(table, wandb.data_types.PartitionedTable):
        table = version.get("eval_data_parts/000000")
        assert len(table.data) < len(rows)
    return table.columns, rows


_, run_id, reference = sys.argv
api = wandb.Api()
data = api.artifact("tester/logging/val:latest", type="dataset")
data_id = base64.b64decode(data.id).hex()
for epoch in range(2):
    version = api.artifact(f"tester/logging/run_{run_id}_pred:epoch_{epoch}")
    columns, rows = read(version)
    assert len(rows) == ROWS
    column = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    for name, expected in EXPECTED.items():
        assert column[name] == expected, (name, column[name])
        assert list(map(type, column[name])) == list(map(type, expected)), (name, column[name])
    assert column["epoch"] == [epoch] * ROWS
    entries = version.manifest.entries.items()
    references = {path: entry.ref for path, entry in entries if entry.ref}
    if reference == "row":
        assert len(entries) <= 3
        truth = [key.get_row() for key in column["row"]]
        images, labels = ([row[name] for row in truth] for name in ("image", "label"))
    else:
        assert len(references) == ROWS
        images, labels = column["image"], column["label"]
        # Where each image is, as in the file of the data artifact.
        assert set(references) <= set(data.manifest.entries)
    assert labels == list(range(ROWS))
    for image, x in zip(images, X, strict=True):
        assert np.array_equal(np.asarray(image.image), x)
    for url in references.values():
        source, _, path = url.removeprefix("wandb-artifact://").partition("/")
        assert source == data_id
        assert path in data.manifest.entries
print("read back")
