"""A disk that fills up and is emptied again, under the folders of W&B."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiproc.running import check
from report.running import offline_env
from wandb_backend.fixture import WandbBackend

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
BYTES = 8_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:  # root in a container may not mount
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    (folder / "tmp").mkdir()
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def train(disk: Path, on_log_error: str, env: dict[str, str]) -> dict[str, Any]:
    """Trains on a disk that is full in epochs 2 to 4, and returns what the script printed."""
    folders = {"WANDB_DIR": str(disk), "TMPDIR": str(disk / "tmp")}
    output = check("log_on_full_disk.py", disk, on_log_error, env=env | folders)
    return json.loads(next(line for line in output.splitlines() if line.startswith('{"trained"')))


def test_training_goes_on_and_each_lost_version_is_named_once(disk: Path) -> None:
    """Offline, W&B's own service may stop to write its log, which nothing here can know."""
    done = train(disk, "warn", offline_env(disk))
    assert done["trained"] == 8
    assert done["lost"] == ["epoch_2", "epoch_3", "epoch_4"]
    (named, *_) = [text for text in done["warnings"] if "epoch_2 of" in text]
    assert "No space left on device. It needs about " in named


def test_an_error_on_request(disk: Path) -> None:
    done = train(disk, "raise", offline_env(disk))
    assert 2 <= done["trained"] < 5
    assert "No space left on device" in done["error"]


def test_an_online_run(disk: Path, wandb_backend: WandbBackend) -> None:
    names = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
    done = train(disk, "warn", wandb_backend.env | dict.fromkeys(names, str(disk)))
    assert done["trained"] == 8
    assert done["lost"] == ["epoch_2", "epoch_3", "epoch_4"]
    committed = [
        artifact["metadata"]["epoch"]
        for artifact in wandb_backend.state()["artifacts"]
        if artifact["state"] == "COMMITTED" and artifact["collection"].endswith("_pred")
    ]
    assert sorted(committed) == [0, 1, 5, 6, 7]
