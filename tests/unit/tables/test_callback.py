"""What hooks see and fill: a consistent snapshot of one version, whatever training does."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from disteval.errors import DataError, DistEvalError
from unit.tables.tables_only import Eval, version_of


def rows(artifact: wandb.Artifact, name: str) -> list[list[Any]]:
    """Returns the rows of a table as W&B writes them to a file."""
    entry = artifact.manifest.entries[f"{name}.table.json"]
    return json.loads(Path(entry.local_path).read_text())["data"]


class KeepsRows(Eval):
    """Reads the tables while they are logged; afterwards, W&B moves their files."""

    def __init__(self, run: wandb.Run, **options: Any) -> None:
        super().__init__(**options)
        self.rows: list[list[list[Any]]] = []
        log = run.log_artifact

        def log_artifact(artifact: wandb.Artifact, **options: Any) -> wandb.Artifact:
            name = "val_data" if artifact.type == "dataset" else "eval_data"
            self.rows.append(rows(artifact, name))
            return log(artifact, **options)

        run.log_artifact = log_artifact


def test_hooks_see_the_predictions_of_their_own_version(run: wandb.Run) -> None:
    # The newest version has other predictions by the time the hooks run.
    callback = KeepsRows(run, asynchronous=True)
    go = threading.Event()
    callback.add_ground_truth = lambda logs: (go.wait(30), Eval.add_ground_truth(callback, logs))
    threading.Timer(0.1, go.set).start()
    callback.publisher.begin(None, {})
    for epoch in range(3):
        callback.publisher.newest = version_of(epoch, scale=epoch + 1)
        assert callback.predictions == [0, epoch + 1, 2 * epoch + 2]
        callback.publisher.publish()
    callback.publisher.newest = version_of(9, scale=100)
    callback.publisher.finish()
    assert callback.rows[0] == [[0], [1], [2]]
    assert callback.rows[1:] == [
        [[epoch, index, (epoch + 1) * index] for index in range(3)] for epoch in range(3)
    ]
    assert callback.predictions == [0, 100, 200]
    assert callback.data_table_ref[2] == [2]


def test_the_model_is_refused_in_the_background_only(run: wandb.Run) -> None:
    model, seen = object(), []

    class UsesModel(Eval):
        def add_ground_truth(self, logs: Any = None) -> None:
            seen.append(self.model)

    waiting = UsesModel()
    waiting.set_model(model)
    waiting.publisher.begin(None, {})
    assert seen == [model]
    background = UsesModel(asynchronous=True)
    background.set_model(model)
    assert background.model is model
    with pytest.raises(DistEvalError, match=r"self\.model.*asynchronous=False"):
        background.publisher.begin(None, {})
    assert seen == [model]


def publish(callback: Eval) -> None:
    callback.publisher.begin(None, {})
    callback.publisher.newest = version_of(4)
    callback.publisher.publish()


def test_columns_are_checked(run: wandb.Run) -> None:
    class Misspells(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            self.add_predictions(scores=self.predictions)

    with pytest.raises(DataError, match=r"Unknown: \['scores'\]; missing: \['score'\]"):
        publish(Misspells())


def test_columns_are_added_once(run: wandb.Run) -> None:
    class Twice(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            super().add_model_predictions(epoch, logs)
            super().add_model_predictions(epoch, logs)

    with pytest.raises(DistEvalError, match="one call of add_predictions"):
        publish(Twice())


def test_rows_are_foreign_keys(run: wandb.Run, logged: list[wandb.Artifact]) -> None:
    callback = Eval(reference="row")
    publish(callback)
    assert callback.pred_table.columns == ["row", "epoch", "score"]
    assert callback.pred_table.get_column("epoch") == [4, 4, 4]
    assert len(logged[1].manifest.entries) == 2


def test_metrics_and_aliases_of_a_version(run: wandb.Run, logged: list[wandb.Artifact]) -> None:
    class Adds(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            super().add_model_predictions(epoch, logs)
            self.add_metrics({"accuracy": 0.5})

        def log_pred_table(self, **options: Any) -> None:
            super().log_pred_table(type="mine", **options)

    aliases, log = [], run.log_artifact
    run.log_artifact = lambda artifact, **options: (aliases.append(options), log(artifact))
    publish(Adds())
    assert aliases[1] == {"aliases": ["latest", "epoch_4"]}
    assert logged[1].type == "mine"
    assert logged[1].metadata["metrics"] == {"accuracy": 0.5}
    assert run.summary["eval/accuracy"] == 0.5
    assert run.summary["eval/epoch"] == 4


def test_cells_are_plain_values(run: wandb.Run) -> None:
    class RowByRow(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            for index in self.data_table_ref.get_index():
                truth = self.data_table_ref[index]
                self.pred_table.add_data(epoch, *truth, np.float32(self.predictions[index]))

    callback = RowByRow()
    publish(callback)
    assert repr(callback.pred_table.data) == repr([[4, i, float(i)] for i in range(3)])


def test_tables_are_not_logged_before_training(run: wandb.Run) -> None:
    callback = Eval()
    callback.init_data_table(["index"])
    with pytest.raises(DistEvalError, match="before training"):
        callback.log_data_table()


def test_only_the_chief_needs_a_run() -> None:
    with pytest.raises(wandb.Error, match=r"wandb\.init"):
        Eval()
    callback = Eval(is_chief=False)
    assert callback.predictions is None
    assert callback.data_table_columns == ["index"]
