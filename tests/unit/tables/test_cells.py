"""Cells that W&B reads back, and references from predictions into the ground-truth table."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

from disteval.errors import DataError
from disteval.tables.artifacts import LoggedData, PredictionArtifact
from disteval.tables.cells import (
    MAX_LISTED,
    DataTableRef,
    build_pred_table,
    plain,
    plain_column,
    store_plain_cells,
)

BFLOAT16 = tf.bfloat16.as_numpy_dtype
RAGGED = tf.ragged.constant([[1], [], [2, 3]])
ROWS_OF_ROWS = np.empty(2, object)
ROWS_OF_ROWS[:] = [np.array([1, 2]), np.array([b"a"], object)]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, None),
        ("text", "text"),
        (3, 3),
        (2.5, 2.5),
        (np.int64(3), 3),
        (np.uint8(255), 255),
        (np.bool_(True), True),
        (np.float16(0.5), 0.5),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.longdouble(0.5), 0.5),
        (BFLOAT16(1.5), 1.5),
        (np.array(7), 7),
        (np.array(1.5, BFLOAT16), 1.5),
        (np.datetime64("2020-01-02"), datetime.date(2020, 1, 2)),
        (np.str_("text"), "text"),
        (b"text", "text"),
        (b"\xff", "\\xff"),
        ("ä".encode(), "ä"),
        (np.bytes_(b"text"), "text"),
        (tf.constant(3), 3),
        (tf.Variable(2.5), 2.5),
        (tf.constant("text"), "text"),
        (tf.constant(1.5, tf.bfloat16), 1.5),
        (tf.constant([[1, 2]]), [[1, 2]]),
        (tf.constant(["a", "b"]), ["a", "b"]),
        (np.array([1.5], BFLOAT16), [1.5]),
        (np.array(["a"]), ["a"]),
        (np.zeros((2, 0)), [[], []]),
        (RAGGED, [[1], [], [2, 3]]),
        (tf.ragged.constant([["a"], []]), [["a"], []]),
        (ROWS_OF_ROWS, [[1, 2], ["a"]]),
        ((np.int8(1), [np.float32(2)]), [1, [2.0]]),
        ({"a": {"b": np.int32(1)}, "c": [tf.constant(2)]}, {"a": {"b": 1}, "c": [2]}),
    ],
    ids=repr,
)
def test_plain_cells(cell: Any, expected: Any) -> None:
    found = plain(cell)
    assert found == expected
    assert repr(found) == repr(expected), "True is not 1, and NumPy's 3 is not Python's"


@pytest.mark.parametrize(
    "cell",
    [
        np.array([1.0, math.nan]),
        [1.0, math.nan],
        [tf.constant(math.nan)],
        np.full((2, 1), math.nan),
    ],
)
def test_lists_with_nan_are_none(cell: Any) -> None:
    # W&B refuses them in a column of lists, and a model that diverged gives such.
    found = plain(cell)
    assert found is None or found == [None, None]


@pytest.mark.parametrize("cell", [np.float32("nan"), tf.constant(math.nan), np.array(math.nan)])
def test_nan_stays_nan(cell: Any) -> None:
    found = plain(cell)
    assert type(found) is float
    assert math.isnan(found)


def test_media_and_what_is_unknown_stay_as_they_are() -> None:
    for cell in (wandb.Image(np.zeros((2, 2), np.uint8)), wandb.Html("a"), object()):
        assert plain(cell) is cell


def test_large_arrays_stay_arrays() -> None:
    listed, large = np.zeros(MAX_LISTED, np.int8), np.zeros(MAX_LISTED + 1, np.int8)
    assert plain(listed) == [0] * MAX_LISTED
    assert plain(large) is large
    assert plain(large.astype(BFLOAT16)).dtype == np.float32


@pytest.mark.parametrize(
    "column",
    [np.arange(3), np.arange(3.0, dtype=np.float32), tf.range(3), [np.int64(0), 1, 2], RAGGED],
)
def test_plain_columns(column: Any) -> None:
    expected = [plain(cell) for cell in column]
    assert repr(plain_column(column)) == repr(expected)


def stored(artifact: wandb.Artifact, name: str) -> list[list[Any]]:
    """Returns the rows of a table as W&B writes them to a file."""
    entry = artifact.manifest.entries[f"{name}.table.json"]
    return json.loads(Path(entry.local_path).read_text())["data"]


def test_a_table_stores_plain_cells() -> None:
    table = store_plain_cells(wandb.Table(columns=["a", "b"]))
    table.add_data(np.int64(1), tf.constant("x"))
    table.add_data(tf.constant(2), b"y")
    table.add_column("c", [np.float32(0.5), np.float64(1.5)])
    assert repr(table.data) == repr([[1, "x", 0.5], [2, "y", 1.5]])
    artifact = wandb.Artifact("val", "dataset")
    artifact.add(table, "val_data")
    assert stored(artifact, "val_data") == table.data


def image(value: int) -> wandb.Image:
    return wandb.Image(np.full((4, 4), value, np.uint8))


def ground_truth() -> wandb.Table:
    return wandb.Table(columns=["image", "label"], data=[[image(i), i] for i in range(3)])


def test_rows_of_the_ground_truth() -> None:
    table = ground_truth()
    reference = DataTableRef(table)
    assert len(reference) == 3
    assert reference.columns == ["image", "label"]
    assert list(reference.get_index()) == [0, 1, 2]
    for i in reference.get_index():
        assert reference[i] is reference.data[i] is table.data[i]
        assert reference[i][1] == i
    with pytest.raises(IndexError):
        reference[3]
    with pytest.raises(AttributeError):
        reference.no_such_attribute  # noqa: B018


def test_a_table_of_whole_columns() -> None:
    data, given = ground_truth(), {"class": np.array([2, 1, 0]), "text": [b"a", "b", None]}
    names = ["epoch", "image", "class", "text"]
    table = build_pred_table(names, data, given, number={"epoch": 4}, by_row=False)
    assert table.columns == names
    assert table.get_column("epoch") == [4, 4, 4]
    assert table.get_column("class") == [2, 1, 0]
    assert table.get_column("text") == ["a", "b", None]
    assert [row[1] for row in table.data] == [row[0] for row in data.data]
    by_row = build_pred_table(names, data, given, number={"epoch": 4}, by_row=True)
    assert by_row.columns == ["row", "epoch", "class", "text"]
    assert list(by_row.get_column("row")) == [0, 1, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class": [1, 2]}, "Column 'class'.*2 values.*3, one for each row"),
        ({}, r"missing: \['class'\]"),
        ({"class": [1, 2, 3], "score": [1, 2, 3]}, r"Unknown: \['score'\]"),
    ],
)
def test_columns_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_pred_table(
            ["epoch", "image", "class"], ground_truth(), given, number={"epoch": 0}, by_row=False
        )


def test_references_outlive_w_and_b_s_memory_of_artifacts(run: wandb.Run) -> None:
    table = ground_truth()
    data = wandb.Artifact("val", "dataset")
    table_path = data.add(table, "val_data").path
    run.log_artifact(data)
    reference = DataTableRef(table)
    # W&B remembers about a hundred artifacts by their client ID.
    others = [wandb.Artifact(f"other_{i}", "dataset") for i in range(150)]
    for epoch in range(2):
        predictions = wandb.Table(columns=["epoch", "image", "label", "class"])
        for i in reference.get_index():
            predictions.add_data(epoch, *reference[i], 2 - i)
        predictions.add_column("row", table.get_index())
        truth = LoggedData(data, table, table_path)
        version = PredictionArtifact("predictions", "evaluation", truth, {"epoch": epoch})
        version.add(predictions, "eval_data")
        run.log_artifact(version)

        images = [path for path in data.manifest.entries if path.startswith("media/images/")]
        assert len(images) == 3
        expected = {path: path for path in images} | {f"media/tables/{table_path}": table_path}
        entries = dict(version.manifest.entries)
        assert entries.pop("eval_data.table.json").ref is None
        assert set(entries) == set(expected), "nothing is held a second time"
        for path, entry in entries.items():
            target = data.manifest.entries[expected[path]]
            assert entry.ref == f"{version.data_url}{expected[path]}"
            assert (entry.digest, entry.size) == (target.digest, 0)
        assert version.metadata == {"epoch": epoch}
        rows = stored(version, "eval_data")
        assert [row[1]["path"] for row in rows] == [
            row[0]["path"] for row in stored(data, "val_data")
        ]
        assert [[row[0], row[2], row[3], row[4]] for row in rows] == [
            [epoch, i, 2 - i, i] for i in range(3)
        ]
    assert len(others) == 150


def test_media_of_the_predictions_themselves_are_files(run: wandb.Run) -> None:
    table = ground_truth()
    data = wandb.Artifact("val", "dataset")
    path = data.add(table, "val_data").path
    run.log_artifact(data)
    version = PredictionArtifact("predictions", "evaluation", LoggedData(data, table, path))
    version.add(wandb.Table(columns=["mask"], data=[[image(9)]]), "eval_data")
    run.log_artifact(version)
    (mask,) = (entry for path, entry in version.manifest.entries.items() if "images" in path)
    assert mask.ref is None
    assert mask.size > 0
    assert mask.path not in data.manifest.entries
