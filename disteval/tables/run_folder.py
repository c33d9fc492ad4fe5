"""The folder of this package in a W&B run's directory, and what is remembered there."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import wandb

from disteval.errors import DistEvalError

# A table of 200,000 rows, as many as W&B stores in one, is smaller. What is larger would fill the
# memory.
MAX_BYTES = 2_000_000_000


def own_folder(run: wandb.Run) -> Path:
    """Returns the folder of this package in the run's directory, which may not exist yet."""
    # Absolute, since a script may change its working directory.
    return Path(run.dir).absolute().parent / "disteval"


def find_newest(run: wandb.Run, file: str) -> Path | None:
    """Returns a file of the newest directory of a run that has one.

    A run has a directory for each time that it was started or resumed.

    Args:
        run: The run.
        file: The name of a file in the folder of this package.
    """
    found: dict[tuple[str, str], Path] = {}
    folder = own_folder(run)
    for path in folder.parents[1].glob(f"*run-*/{folder.name}/{file}"):
        # Named by the time and the run, as in offline-run-20260102_030405-a1b2c3d4.
        started, _, run_id = path.parents[1].name.partition("run-")[2].partition("-")
        if run_id == run.id:
            found[started, path.parents[1].name] = path
    return found[max(found)] if found else None


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DistEvalError: It is damaged, too large, or no regular file.
        FileNotFoundError: It does not exist.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DistEvalError(f"{path} is no regular file.")
    if status.st_size > MAX_BYTES:
        raise DistEvalError(
            f"{path} is too large. Received: {status.st_size:,} bytes. Expected: {MAX_BYTES:,} at "
            "most."
        )
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DistEvalError(f"{path} is damaged: {error or 'nested too deeply'}.") from None


def write_json(path: Path, value: Any) -> None:
    """Writes a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value))
    partial.replace(path)
