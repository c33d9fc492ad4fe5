"""Failures of the disk, which must not end a training: what was lost, and why."""

from __future__ import annotations

import contextlib
import errno
import json
from pathlib import Path

import wandb

from disteval.tables.wandb_private import media_dir, staging_dir

# No space, no quota left, and a file system that has become read-only.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def is_of_disk(error: BaseException) -> bool:
    """Whether an error is one of the disk to which tables are written.

    A hook may write files of its own. Its errors are those of the user, unless the disk is full,
    or the file is in a folder in which W&B keeps the media of tables.
    """
    if not isinstance(error, OSError):
        return False
    if error.errno in FULL:
        return True
    if not isinstance(error.filename, str):
        return False
    path = Path(error.filename)
    return any(path.is_relative_to(folder) for folder in (staging_dir(), media_dir()))


def size_of(table: wandb.Table | None, artifact: wandb.Artifact | None) -> int:
    """Returns about how many bytes a table needs on disk, with its media."""
    entries = artifact.manifest.entries.values() if artifact is not None else ()
    media = sum(entry.size or 0 for entry in entries)
    return media + (len(json.dumps(table.data, default=str)) if table is not None else 0)


def drop_staged(artifact: wandb.Artifact) -> None:
    """Removes W&B's copies of the files of an artifact that is not logged."""
    staging = staging_dir()
    for entry in artifact.manifest.entries.values():
        if entry.local_path is not None and Path(entry.local_path).is_relative_to(staging):
            with contextlib.suppress(OSError):
                Path(entry.local_path).unlink()
