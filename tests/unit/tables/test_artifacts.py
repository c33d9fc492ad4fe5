"""The artifacts of the two tables: what they hold, and what they refer to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from disteval.errors import DataError, DistEvalError
from disteval.tables.artifacts import TableLog
from disteval.tables.cells import build_pred_table
from disteval.tables.wandb_private import client_id
from disteval.tables.worker import Worker

ROWS = 4


def table_log(run: wandb.Run, partitions: int = 1) -> TableLog:
    return TableLog(run, Worker("writer", asynchronous=False), partitions)


def ground_truth() -> wandb.Table:
    table = wandb.Table(columns=["image", "label"], allow_mixed_types=True)
    for i in range(ROWS):
        table.add_data(wandb.Image(np.full((2, 2), i, np.uint8)), i)
    return table


def predictions(data: wandb.Table, by_row: bool) -> wandb.Table:
    names = ["epoch", "image", "label", "score"]
    given = {"score": np.arange(ROWS)}
    return build_pred_table(names, data, given, number={"epoch": 0}, by_row=by_row)


def log_both(log: TableLog, data: wandb.Table, by_row: bool = False, **metadata: Any) -> None:
    log.log_data(data, "val", "dataset", "val_data")
    log.log_predictions(predictions(data, by_row), "evaluation", "eval_data", ["latest"], metadata)


def entries(artifact: wandb.Artifact) -> dict[str, str | None]:
    return {path: entry.ref for path, entry in artifact.manifest.entries.items()}


def test_media_are_references_to_the_files_of_the_data_artifact(
    run: wandb.Run, logged: list[wandb.Artifact]
) -> None:
    log_both(table_log(run), ground_truth())
    data, version = logged
    assert (data.name, data.type) == ("val", "dataset")
    assert (version.name, version.type) == (f"run_{run.id}_pred", "evaluation")
    files = [path for path in entries(data) if path.startswith("media/images/")]
    assert len(files) == ROWS
    url = f"wandb-client-artifact://{client_id(data)}"
    expected = {path: f"{url}/{path}" for path in files}
    assert entries(version) == {"eval_data.table.json": None} | expected


def test_a_foreign_key_is_one_reference_to_the_data_table(
    run: wandb.Run, logged: list[wandb.Artifact]
) -> None:
    log_both(table_log(run), ground_truth(), by_row=True)
    data, version = logged
    url = f"wandb-client-artifact://{client_id(data)}"
    assert entries(version) == {
        "eval_data.table.json": None,
        "media/tables/val_data.table.json": f"{url}/val_data.table.json",
    }


@pytest.mark.parametrize("by_row", [False, True])
def test_equal_versions_are_equal_artifacts(
    by_row: bool, run: wandb.Run, logged: list[wandb.Artifact]
) -> None:
    # So that W&B does not store them again, nor the data table in a second `fit`.
    log = table_log(run)
    for _ in range(2):
        log_both(log, ground_truth(), by_row)
    digests = [artifact.digest for artifact in logged]
    assert digests[:2] == digests[2:]


def test_rows_are_spread_over_partitions(run: wandb.Run, logged: list[wandb.Artifact]) -> None:
    log_both(table_log(run, partitions=3), ground_truth())
    _, version = logged
    assert [path for path in entries(version) if not path.startswith("media")] == [
        "eval_data_parts/000000.table.json",
        "eval_data_parts/000001.table.json",
        "eval_data_parts/000002.table.json",
        "eval_data.partitioned-table.json",
    ]


def test_too_many_rows_are_refused(run: wandb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb.Table, "MAX_ARTIFACT_ROWS", 2)
    table_log(run, partitions=2).check_rows(4)
    with pytest.raises(DataError, match=r"5 rows.*4 at most.*num_samples.*partitions=3"):
        table_log(run, partitions=2).check_rows(5)
    with pytest.raises(DataError, match="num_samples"):
        log_both(table_log(run), ground_truth())


def test_metadata_are_json(run: wandb.Run, logged: list[wandb.Artifact]) -> None:
    logs = {"loss": math.nan, "others": [math.inf, -math.inf, 1.5]}
    log_both(table_log(run), ground_truth(), logs=logs, epoch=3)
    _, version = logged
    expected = {"loss": "nan", "others": ["inf", "-inf", 1.5]}
    assert version.metadata == {"logs": expected, "epoch": 3}


def test_predictions_need_the_ground_truth_first(run: wandb.Run) -> None:
    table = wandb.Table(columns=["a"], data=[[1]])
    with pytest.raises(DistEvalError, match="before log_data_table"):
        table_log(run).log_predictions(table, "evaluation", "eval_data", [], {})


def test_a_finished_run_does_not_end_training(
    run: wandb.Run, caplog: pytest.LogCaptureFixture
) -> None:
    log = table_log(run)
    run.finish()
    log.log_scalars({"eval/loss": 1.0})
    log_both(log, ground_truth())
    warnings = [record for record in caplog.records if record.name == "disteval"]
    assert len(warnings) == 3
    error = log.take_error()
    assert isinstance(error, DistEvalError)
    assert "finished" in str(error)
    assert log.take_error() is None


def test_the_writer_is_drained_before_the_run_finishes(
    run: wandb.Run, logged: list[wandb.Artifact]
) -> None:
    writer = Worker("writer")
    log = TableLog(run, writer)
    writer.submit(lambda: log_both(log, ground_truth()))
    run.finish()
    assert len(logged) == 2
    writer.raise_error()


def test_a_disabled_run_logs_nothing(tmp_path: Path) -> None:
    with wandb.init(mode="disabled") as run:
        log = table_log(run)
        log_both(log, ground_truth())
        log.drain()
