"""Runs to log tables to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb.Run]:
    """An offline run, which keeps all files below `tmp_path`."""
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # W&B reads its settings once.
    with wandb.init(project="tables") as run:
        yield run
    wandb.teardown()


@pytest.fixture
def logged(run: wandb.Run) -> list[wandb.Artifact]:
    """The artifacts that are logged to the run."""
    artifacts, log = [], run.log_artifact

    def log_artifact(artifact: wandb.Artifact, **options: Any) -> wandb.Artifact:
        artifacts.append(artifact)
        return log(artifact, **options)

    run.log_artifact = log_artifact
    return artifacts
