"""What was logged to an offline run, and what of it W&B's service could not write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import wandb

from disteval.errors import DistEvalError
from disteval.tables.records import read_records
from disteval.tables.wandb_private import client_id, offline_failure


class OfflineLog:
    """Logs artifacts to an offline run, and names those that did not reach its file.

    W&B's service writes the file block by block, so that a write may fail some time after
    `log_artifact`. Then the service writes nothing more, not even when there is space again, and
    says so only in a log of its own. The last block is written after the run has finished; if that
    write fails, this class no longer notices.

    Args:
        run: The run.
        lose: Called with what is lost, the reason, and about how many bytes it needs.
    """

    def __init__(self, run: wandb.Run, lose: Callable[[str, str, int], None]) -> None:
        self._run = run
        self._lose = lose
        # What each artifact is and how many bytes it has, by its client ID.
        self._logged: dict[str, tuple[str, int]] = {}

    def add(self, artifact: wandb.Artifact, aliases: list[str], what: str) -> None:
        """Logs an artifact.

        Args:
            artifact: The artifact.
            aliases: Its aliases.
            what: What it is, such as epoch_3 of run_abc_pred.
        """
        self._run.log_artifact(artifact, aliases=aliases)
        self._logged[client_id(artifact)] = what, artifact.size

    def check(self) -> str:
        """Names what is lost, once, if the service has stopped writing.

        Returns:
            Why it has stopped; empty if it has not.
        """
        if (failure := offline_failure(self._run)) is None:
            return ""
        path = Path(self._run.settings.sync_file)
        reason = f"W&B's service has stopped writing {path}: {failure[:300]}"
        arrived = _arrived(path) if self._logged else set()
        for client, (what, num_bytes) in self._logged.items():
            if client not in arrived:
                self._lose(what, reason, num_bytes)
        self._logged.clear()
        return reason


def _arrived(path: Path) -> set[str]:
    """Returns the client IDs of the artifacts in the file of a run."""
    found = set()
    with contextlib.suppress(DistEvalError):  # the end of the file may be damaged
        for record in read_records(path):
            if record.HasField("artifact"):
                found.add(record.artifact.client_id)
    return found
