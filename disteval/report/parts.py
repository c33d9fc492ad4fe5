"""The parts of a run: it has a directory for each time that it was started or resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from disteval.errors import DistEvalError
from disteval.report.kept import read_packages
from disteval.report.transactions import StoredArtifact, follow_links, stored_artifact
from disteval.tables.records import read_records

logger = logging.getLogger("disteval")

# The keys of a value in a run's history; several for a value in a nested dict.
Keys = tuple[str, ...]
# A part's directory is named by its time, as offline-run-20260102_030405-a1b2c3d4, and holds
# run-a1b2c3d4.wandb; `latest-run` is a link.
LOGS = "*run-[0-9]*/*.wandb"


@dataclasses.dataclass
class Part:
    """What one part of a run left on this machine.

    Attributes:
        directory: Its directory.
        run: The message that describes the run; `None` if the part ended before writing it.
        artifacts: Its artifacts, in the order in which they were logged.
        history: The rows of its history: the values whose names begin with `eval/`.
    """

    directory: Path
    run: Any = None
    artifacts: list[StoredArtifact] = dataclasses.field(default_factory=list)
    history: list[dict[Keys, Any]] = dataclasses.field(default_factory=list)

    @property
    def started(self) -> datetime.datetime | None:
        """When it was started or resumed."""
        if self.run is None:
            return None
        return self.run.start_time.ToDatetime(datetime.timezone.utc)

    def is_of_run_of(self, other: Part) -> bool:
        """Whether the two are parts of one run. IDs are unique within a project."""
        if self.run is None or other.run is None:
            return False
        here, there = ((p.run.run_id, p.run.project, p.run.entity or None) for p in (self, other))
        # The entity is left open where it is the user's own.
        return here[:2] == there[:2] and (None in (here[2], there[2]) or here[2] == there[2])


def find_run(directory: Path) -> Path:
    """Returns a run's directory: the given one, or the newest below it."""
    if any(directory.glob("*.wandb")):
        return directory.resolve()
    runs = [path.parent for path in directory.glob(LOGS)]
    if not runs:
        raise DistEvalError(
            f"There is no W&B run in {directory}. Expected: the directory of a run, such as "
            "wandb/offline-run-20260102_030405-a1b2c3d4, or one above it."
        )
    return max(runs, key=lambda path: path.name.partition("run-")[2]).resolve()


def read_parts(directory: Path) -> list[Part]:
    """Reads a part of a run, and the other parts beside it.

    Returns:
        The parts in order of time. A damaged one is left out, with a warning.

    Raises:
        DistEvalError: The part in the given directory is damaged.
    """
    own = _read_part(directory.resolve())
    others = []
    for path in _directories_beside(own.directory):
        try:
            others.append(_read_part(path))
        except DistEvalError as error:
            logger.warning("A part of the run is left out, in %s: %s", path, error)
    # A part that ended at once may not even say of which run it is.
    known = own if own.run is not None else max(others, key=_nanoseconds, default=own)
    parts = [own, *(part for part in others if part.is_of_run_of(known))]
    parts.sort(key=_nanoseconds)
    follow_links(artifact for part in parts for artifact in part.artifacts)
    return parts


def _nanoseconds(part: Part) -> int:
    """Returns when a part began. Names of directories hold local times, which may go back."""
    return part.run.start_time.ToNanoseconds() if part.run is not None else 0


def _directories_beside(directory: Path) -> list[Path]:
    """Returns the other directories that may hold parts of the same run, by name."""
    logs = {path.name for path in directory.glob("*.wandb")}
    beside = {path.parent.resolve() for path in directory.parent.glob(LOGS) if path.name in logs}
    return sorted(beside - {directory})


def _read_part(directory: Path) -> Part:
    part = Part(directory)
    for path in sorted(directory.glob("*.wandb")):
        for record in read_records(path):
            if record.HasField("run") and part.run is None:
                part.run = record.run
            elif record.HasField("run"):
                part.run.MergeFrom(record.run)
            elif record.HasField("history"):
                part.history.append(_evaluated(record.history.item))
            elif record.HasField("artifact"):
                part.artifacts.append(stored_artifact(record.artifact))
    part.artifacts += read_packages(directory)
    return part


def _evaluated(items: Iterable[Any]) -> dict[Keys, Any]:
    """Returns the values of a row of the history whose names begin with `eval/`."""
    texts = {(i.key,) if i.key else tuple(i.nested_key): i.value_json for i in items}
    found = {}
    for keys, text in texts.items():
        if keys[0].startswith("eval/"):
            with contextlib.suppress(ValueError, RecursionError):  # a damaged value is left out
                found[keys] = json.loads(text)
    return found
