"""What W&B's service could not write of an offline run is named once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb

from disteval.tables.artifacts import TableLog
from disteval.tables.offline import OfflineLog
from disteval.tables.worker import Worker


def fail(run: wandb.Run) -> None:
    """Writes what W&B 0.31 writes once the disk was full; see tests/multiproc/test_disk.py."""
    message = f"writer: failed to save record: write {run.settings.sync_file}: no space left"
    with Path(run.settings.log_internal).open("a") as log:
        log.write(json.dumps({"level": "ERROR", "msg": message}, separators=(",", ":")) + "\n")


def add(log: OfflineLog, name: str) -> None:
    artifact = wandb.Artifact(name, type="dataset")
    with artifact.new_file("text.txt") as file:
        file.write("some text")
    log.add(artifact, [], f"the artifact {name}")


def test_nothing_is_lost_while_the_service_writes(run: wandb.Run) -> None:
    lost: list[tuple[str, str, int]] = []
    log = OfflineLog(run, lambda *what: lost.append(what))
    add(log, "first")
    assert not log.check()
    run.finish()
    assert not log.check()
    assert not lost


def test_what_has_not_arrived_is_named_once(run: wandb.Run) -> None:
    lost: list[tuple[str, str, int]] = []
    log = OfflineLog(run, lambda *what: lost.append(what))
    add(log, "first")
    size = Path(run.settings.sync_file).stat().st_size
    assert size < 4096, "the service has not written the artifact yet"
    fail(run)
    reason = log.check()
    assert reason.startswith(f"W&B's service has stopped writing {run.settings.sync_file}: ")
    assert reason.endswith('no space left"}')
    assert lost == [("the artifact first", reason, len("some text"))]
    run.finish()
    assert log.check() == reason
    assert len(lost) == 1


def test_what_has_arrived_is_not_lost(run: wandb.Run) -> None:
    lost: list[tuple[str, str, int]] = []
    log = OfflineLog(run, lambda *what: lost.append(what))
    add(log, "first")
    fail(run)
    run.finish()
    wandb.teardown()  # W&B's service has then written everything
    assert log.check()
    assert not lost


def test_later_versions_are_named_as_well(run: wandb.Run, caplog: pytest.LogCaptureFixture) -> None:
    log = TableLog(run, Worker("writer", asynchronous=False))
    log.log_data(wandb.Table(columns=["label"], data=[[1]]), "val", "dataset", "val_data")
    fail(run)
    table = wandb.Table(columns=["score"], data=[[0.5]])
    log.log_predictions(table, "evaluation", "eval_data", ["latest", "epoch_1"], {})
    reason = f"W&B's service has stopped writing {run.settings.sync_file}: "
    names = ["the ground truth val", f"epoch_1 of run_{run.id}_pred"]
    expected = [f"The disk failed, and {name} is lost: {reason}" for name in names]
    found = [record.getMessage() for record in caplog.records if record.name == "disteval"]
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
    assert not any("Later versions are logged" in text for text in found)
    assert str(log.take_error()) == found[0]
