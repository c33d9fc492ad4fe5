"""Which failures are those of the disk, and what they cost."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from disteval.tables.disk import drop_staged, is_of_disk, size_of
from disteval.tables.wandb_private import media_dir, staging_dir


@pytest.fixture(autouse=True)
def _own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    yield
    wandb.teardown()  # W&B reads its settings once.


def test_failures_of_the_disk_and_of_a_users_hook() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        assert is_of_disk(OSError(number, "full", "/home/user/own.txt"))
    for folder in (staging_dir(), media_dir()):
        assert is_of_disk(PermissionError(errno.EACCES, "denied", str(folder / "a.png")))
        assert is_of_disk(FileNotFoundError(errno.ENOENT, "removed", str(folder / "a.png")))
    assert not is_of_disk(PermissionError(errno.EACCES, "denied", "/home/user/own.txt"))
    assert not is_of_disk(FileNotFoundError(errno.ENOENT, "no such file", "own.txt"))
    assert not is_of_disk(OSError("no number"))
    assert not is_of_disk(ValueError("no error of a disk"))


def test_bytes_and_copies_of_an_artifact() -> None:
    artifact = wandb.Artifact("pred", "evaluation")
    table = wandb.Table(["text"], [["x" * 1000]] * 3)
    artifact.add(table, "table")
    assert size_of(table, None) > 3000
    assert size_of(table, artifact) > size_of(table, None) + 3000
    assert size_of(None, None) == 0
    staged = [Path(entry.local_path) for entry in artifact.manifest.entries.values()]
    assert all(path.exists() for path in staged)
    drop_staged(artifact)
    assert not any(path.exists() for path in staged)
