"""W&B keeps to the folder of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Returns the folder in which W&B makes a directory for each part of a run."""
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # W&B reads its settings once.
    yield tmp_path / "wandb"
    wandb.teardown()
