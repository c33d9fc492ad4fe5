"""What W&B's service could not write of an offline run is named once."""

from __future__ import annotations

import json
from pathlib import Path

import wandb

from disteval.tables.offline import OfflineLog


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
    assert reason.startswith(f"W&B's service has stopped to write {run.settings.sync_file}: ")
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
