"""A disk that fails for some epochs, under the folders of W&B."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disteval.report.transactions import read_artifacts
from multiproc.disks import can_mount, small_disk
from multiproc.running import check
from report.running import offline_env
from wandb_backend.fixture import WandbBackend

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")
BYTES = 8_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own."""
    with small_disk(tmp_path / "disk", BYTES) as folder:
        (folder / "tmp").mkdir()
        yield folder


def train(disk: Path, on_log_error: str, env: dict[str, str], how: str = "full") -> dict[str, Any]:
    """Trains on a disk that fails in epochs 2 to 4, and returns what the script printed."""
    folders = {"WANDB_DIR": str(disk), "TMPDIR": str(disk / "tmp")}
    output = check("log_on_failing_disk.py", disk, on_log_error, how, env=env | folders)
    return json.loads(next(line for line in output.splitlines() if line.startswith('{"trained"')))


def test_training_goes_on_and_each_lost_version_is_named_once(disk: Path) -> None:
    """Offline, W&B's own service writes nothing more once one of its writes has failed.

    Whether one fails, and what the service has written by then, differs from run to run.
    """
    done = train(disk, "warn", offline_env(disk))
    assert done["trained"] == 8
    (run,) = disk.glob("wandb/offline-run-*")
    artifacts = [artifact for artifact in read_artifacts(run) if artifact.name.endswith("_pred")]
    logged = [f"epoch_{artifact.metadata['epoch']}" for artifact in artifacts]
    assert sorted(done["lost"] + logged) == [f"epoch_{epoch}" for epoch in range(8)]
    assert {"epoch_2", "epoch_3", "epoch_4"} <= set(done["lost"])
    for version in done["lost"]:
        (named,) = [text for text in done["warnings"] if f"{version} of" in text]
        assert "It needs about " in named
        disk_was_full = version in ("epoch_2", "epoch_3", "epoch_4")
        reason = "No space left on device" if disk_was_full else "service has stopped writing"
        assert reason in named


def test_an_error_on_request(disk: Path) -> None:
    done = train(disk, "raise", offline_env(disk))
    assert 2 <= done["trained"] < 5
    assert "No space left on device" in done["error"]


@pytest.mark.parametrize("how", ["full", "read-only", "denied", "removed"])
def test_an_online_run(how: str, disk: Path, wandb_backend: WandbBackend) -> None:
    names = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR")
    own = dict.fromkeys(names, str(disk)) | {"WANDB_ARTIFACT_DIR": str(disk / "artifacts")}
    done = train(disk, "warn", wandb_backend.env | own, how)
    assert done["trained"] == 8
    # What is removed is made again, and nothing is lost.
    lost = [] if how == "removed" else [2, 3, 4]
    assert done["lost"] == [f"epoch_{epoch}" for epoch in lost]
    committed = [
        artifact["metadata"]["epoch"]
        for artifact in wandb_backend.state()["artifacts"]
        if artifact["state"] == "COMMITTED" and artifact["collection"].endswith("_pred")
    ]
    assert sorted(committed) == [epoch for epoch in range(8) if epoch not in lost]
