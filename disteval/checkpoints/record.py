"""Which checkpoints of a folder were evaluated, in a file there that outlives the process."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from disteval.checkpoints.files import Checkpoint
from disteval.errors import DistEvalError
from disteval.tables.run_folder import read_json, write_json

FILE = ".disteval-evaluated.json"
# A checkpoint in the file: its name in the folder, size, and time of modification.
Entry = list[Any]


class Record:
    """What was evaluated of a folder.

    A checkpoint is written down before its evaluation as the current one, and as evaluated once its
    version is safe: committed, or kept on disk. So a process that was killed in between leaves one
    checkpoint about which W&B has to be asked.

    Args:
        folder: The folder. It has to be writable.

    Raises:
        DistEvalError: There is no such folder, or the file is damaged, or cannot be written.

    Attributes:
        run: What identifies the W&B run; `None` before there is one.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DistEvalError(
                f"There is no folder to watch. Received: {folder}. Expected: the folder in which a "
                "training saves its checkpoints."
            )
        self._path = folder / FILE
        self.run: dict[str, Any] | None = None
        self._current: Entry | None = None
        self._evaluated: list[Entry] = []
        self._failed: list[Entry] = []
        with contextlib.suppress(FileNotFoundError):
            self._read()
        try:
            self._write()
        except OSError as error:
            raise DistEvalError(
                f"{self._path} cannot be written, in which a watcher remembers what it has "
                f"evaluated: {error}. Expected: a folder that it may write to."
            ) from error

    @property
    def number(self) -> int:
        """The number of the next version."""
        return len(self._evaluated)

    @property
    def is_interrupted(self) -> bool:
        """Whether a process ended while it evaluated the version with this number."""
        return self._current is not None

    def knows(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint was evaluated, or could not be."""
        return self._entry(checkpoint) in [*self._evaluated, *self._failed]

    def begin(self, checkpoint: Checkpoint, run: dict[str, Any] | None) -> None:
        """Records that a checkpoint is going to be evaluated."""
        self._current, self.run = self._entry(checkpoint), run
        self._write()

    def end(self) -> None:
        """Records that the version of the current checkpoint is safe."""
        assert self._current is not None
        self._evaluated.append(self._current)
        self._current = None
        self._write()

    def give_up(self, checkpoint: Checkpoint | None = None) -> None:
        """Records that a checkpoint cannot be evaluated, or that the current one has no version."""
        if checkpoint is not None:
            self._failed.append(self._entry(checkpoint))
        self._current = None
        self._write()

    def _entry(self, checkpoint: Checkpoint) -> Entry:
        return [checkpoint.path.name, checkpoint.size, checkpoint.modified]

    def _read(self) -> None:
        known = read_json(self._path)
        try:
            self.run, self._current = known["run"], known["current"]
            self._evaluated, self._failed = list(known["evaluated"]), list(known["failed"])
        except (KeyError, TypeError):
            raise DistEvalError(
                f"{self._path} is damaged. Expected: what a watcher of this folder wrote. Without "
                "the file, all checkpoints are evaluated again."
            ) from None

    def _write(self) -> None:
        write_json(self._path, {
            "run": self.run,
            "current": self._current,
            "evaluated": self._evaluated,
            "failed": self._failed,
        })  # fmt: skip
