"""The next checkpoint of a folder in which a training writes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disteval.checkpoints.files import Checkpoint, find, is_whole
from disteval.checkpoints.record import Record

logger = logging.getLogger("disteval")

POLL_SECONDS = 1.0
# A half-written file that has not changed for so long has lost its writer.
ABANDONED_SECONDS = 60.0


class Watcher:
    """Finds the checkpoints of a folder one after the other, each once it is whole; on the chief.

    The oldest comes first, and the others wait for it while it is being written. A file that is
    half-written and does not change any more is passed over with a warning while there are newer
    ones, and comes when it is whole after all.

    Args:
        folder: The folder.
        record: What was evaluated.
        until: The name of the last checkpoint, with or without its ending; `None` for no end.
        idle: After so many seconds without anything new, there is no checkpoint any more; `None`
            for no end.

    Attributes:
        record: The argument.
        has_ended: Whether there are no more checkpoints.
    """

    def __init__(
        self, folder: Path, record: Record, until: str | None = None, idle: float | None = None
    ) -> None:
        self._folder = folder
        self.record = record
        self._until = until
        self._idle = idle
        # The checkpoints of the last poll that were not evaluated, with when they were new.
        self._seen: dict[Checkpoint, float] = {}
        self._warned: set[Checkpoint] = set()
        # When there was something new the last time; `None` before the first poll.
        self._active: float | None = None
        self.has_ended = until is not None and any(map(self._is_last_known, find(folder)))

    def poll(self, run: dict[str, Any] | None) -> Checkpoint | None:
        """Returns the next checkpoint if there is one now, and sets `has_ended`.

        Args:
            run: The W&B run in which it is going to be evaluated.
        """
        if self.has_ended:
            return None
        pending = [each for each in find(self._folder) if not self.record.knows(each)]
        before, now = self._seen, time.monotonic()
        self._warn_of_removed(pending)
        self._seen = {each: before.get(each, now) for each in pending}
        if self._active is None or self._seen.keys() - before.keys():
            self._active = now
        # A file that is being written changes between two polls.
        for checkpoint in self._ready(pending, before):
            self.record.begin(checkpoint, run)
            return checkpoint
        if self._idle is not None and now - self._active > self._idle:
            self.has_ended = True
        return None

    def done(self, checkpoint: Checkpoint, *, succeeded: bool) -> None:
        """Records that a checkpoint was evaluated, or could not be."""
        self._active = time.monotonic()
        if succeeded:
            self.record.end()
        elif checkpoint.is_unchanged():
            self.record.give_up(checkpoint)
        else:
            self.record.give_up()  # what was written since is another checkpoint, and comes again
            self._seen.pop(checkpoint, None)
            return
        self.has_ended = self.has_ended or self._is_last(checkpoint)

    def _is_last(self, checkpoint: Checkpoint) -> bool:
        return self._until in (checkpoint.name, checkpoint.path.name)

    def _is_last_known(self, checkpoint: Checkpoint) -> bool:
        return self._is_last(checkpoint) and self.record.knows(checkpoint)

    def _warn_of_removed(self, pending: list[Checkpoint]) -> None:
        paths = {each.path for each in pending}
        for checkpoint in self._seen:
            if checkpoint.path not in paths and not self.record.knows(checkpoint):
                logger.warning("%s was removed before it was evaluated.", checkpoint.path)

    def _ready(
        self, pending: list[Checkpoint], before: dict[Checkpoint, float]
    ) -> Iterator[Checkpoint]:
        """Yields the checkpoints that can be evaluated now, in order."""
        for checkpoint in pending:
            if checkpoint in before and is_whole(checkpoint.path):
                yield checkpoint
            seconds = time.monotonic() - self._seen[checkpoint]
            if seconds < ABANDONED_SECONDS:
                return  # the newer ones wait
            if checkpoint not in self._warned:
                self._warned.add(checkpoint)
                logger.warning(
                    "%s is half-written, and has not changed for %.0f s. It is passed over.",
                    checkpoint.path, seconds
                )  # fmt: skip
