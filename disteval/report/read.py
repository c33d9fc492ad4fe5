"""From the files of a run on this machine to the versions of its predictions."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from disteval.errors import DistEvalError
from disteval.report.parts import Keys, Part, read_parts
from disteval.report.stored_metadata import checked_metadata, read_confusion
from disteval.report.stored_tables import read_data, read_table, truth_of
from disteval.report.transactions import LOGGED, StoredArtifact
from disteval.tables.sets import UNNAMED, SetName

logger = logging.getLogger("disteval")

# `run_<id>_pred`, or `run_<id>_pred_<set>`.
PREDICTIONS = re.compile(r"run_.*_pred(_[\w.-]+)?|.*_pred")
EPOCH = ("eval/epoch",)
# Where the history keeps the path of the table of `wandb.plot.confusion_matrix`.
CONFUSION = "confusion_matrix_table"


@dataclasses.dataclass
class StoredVersion:
    """The predictions of one evaluation.

    Attributes:
        aliases: Aliases that the artifact's version has in the end.
        metadata: Its metadata; see `disteval.tables.version.Version`.
        columns: The columns of its table, joined with the columns of the ground-truth table.
        files: Where the media file of each path in a cell is.
        scalars: What the run logged as `eval/...` with this evaluation.
        confusion: Rows of truth, prediction and number of samples, over all evaluated samples, if
            the run logged them: the table may hold fewer samples.
        part: The number of the run's part that logged it, as the run may have been resumed.
        names: The name of the set that was evaluated.
        truth: The columns of its ground-truth table alone, for the same rows; empty if the rows
            are not known there.
    """

    aliases: list[str]
    metadata: dict[str, Any]
    columns: dict[str, list[Any]]
    files: Mapping[str, Path]
    scalars: dict[str, float] = dataclasses.field(default_factory=dict)
    confusion: list[list[Any]] = dataclasses.field(default_factory=list)
    part: int = 0
    names: SetName = UNNAMED
    truth: Mapping[str, list[Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Run:
    """A run and its versions, in the order in which they were logged.

    Attributes:
        directory: The directory that was read, of one of its parts.
        id, name, project: What identifies it.
        started: When it was started first.
        versions: The versions of all its parts.
    """

    directory: Path
    id: str
    name: str
    project: str
    started: datetime.datetime | None
    versions: list[StoredVersion]


def read_run(directory: Path) -> Run:
    """Reads the run of a directory, and what the same run left in others beside it.

    Raises:
        DistEvalError: There are no predictions, or files of this directory have been removed.
    """
    parts = read_parts(directory)
    versions: list[tuple[StoredArtifact, StoredVersion]] = []
    newest: StoredArtifact | None = None
    for number, part in enumerate(parts):
        earlier, newest = newest, next(filter(_is_data, reversed(part.artifacts)), newest)
        try:
            found = _read_versions(part, number, earlier)
        except DistEvalError as error:
            if part.directory == directory.resolve():
                raise
            logger.warning("The predictions in %s are left out: %s", part.directory, error)
            continue
        own = [version for _, version in found]
        sets = {version.names for version in own}
        for each in sets:
            rows = [_of_set(row, each, sets - {each}) for row in part.history]
            of_set = [version for version in own if version.names == each]
            _add_history(of_set, rows, part.directory / "files")
        versions += found
    if not versions:
        raise DistEvalError(
            f"There are no predictions in {directory}. Expected: a run with WANDB_MODE=offline, "
            "or one whose DistEvalCallback was constructed with keep_local=True."
        )
    known = [part.run for part in parts if part.run is not None]
    names = [run.display_name for run in known if run.display_name]
    return Run(
        directory,
        known[-1].run_id if known else "",
        names[-1] if names else "",
        known[-1].project if known else "",
        next((part.started for part in parts if part.started), None),
        _merge(versions),
    )


def _is_data(artifact: StoredArtifact) -> bool:
    """Whether an artifact holds the ground truth."""
    is_table = artifact.table_path is not None and artifact.type != LOGGED
    return is_table and not _is_prediction(artifact)


def _is_prediction(artifact: StoredArtifact) -> bool:
    return PREDICTIONS.fullmatch(artifact.name) is not None


def _read_versions(
    part: Part, number: int, newest: StoredArtifact | None
) -> list[tuple[StoredArtifact, StoredVersion]]:
    """Returns the predictions of a part, joined with the ground truth that they refer to.

    Args:
        part: The part.
        number: Its number.
        newest: The newest ground truth of earlier parts.
    """
    versions, num_lost = [], 0
    damaged: list[DistEvalError] = []
    data_columns: dict[int, dict[str, list[Any]]] = {}
    for artifact in part.artifacts:
        if _is_data(artifact):
            newest = artifact
        if artifact.table_path is None or not _is_prediction(artifact):
            continue
        num_lost += bool(artifact.lost)
        # A table without pictures need not refer to anything.
        data = artifact.data or (None if artifact.lost else newest)
        try:
            version = _read_version(artifact, artifact.table_path, data, data_columns)
        except DistEvalError as error:
            damaged.append(error)
            continue
        version.part = number
        versions.append((artifact, version))
    if damaged and not versions:
        raise damaged[0]
    for fault in damaged:
        logger.warning("A version is left out: %s", fault)
    if num_lost:
        logger.warning(
            "%d tables in %s are shown without their ground truth, which is not on this machine.",
            num_lost, part.directory,
        )  # fmt: skip
    return versions


def _read_version(
    artifact: StoredArtifact,
    path: str,
    data: StoredArtifact | None,
    data_columns: dict[int, dict[str, list[Any]]],
) -> StoredVersion:
    """Returns a version, joined with its ground truth.

    Args:
        artifact: The predictions.
        path: The path of their table.
        data: The ground truth; `None` if it is not known.
        data_columns: The columns of ground truths that were read already, by identity.
    """
    columns, rows = read_table(artifact, path)
    if data is None and rows is not None:
        raise DistEvalError(
            f"The ground truth of a table is not on this machine: {artifact.files[path]}. "
            "Expected: the directories of all parts of the run, beside each other."
        )
    truth: dict[str, list[Any]] = {}
    if data is not None:
        if id(data) not in data_columns:
            data_columns[id(data)] = read_data(data)
        truth = truth_of(columns, rows, data_columns[id(data)])
        columns |= {name: cells for name, cells in truth.items() if name not in columns}
    # The files of cells that were joined are in the data artifact.
    files = {**(data.files if data is not None else {}), **artifact.files}
    metadata = checked_metadata(artifact.metadata)
    names = SetName(metadata.get("set"))
    return StoredVersion(artifact.aliases, metadata, columns, files, names=names, truth=truth)


def _merge(found: Iterable[tuple[StoredArtifact, StoredVersion]]) -> list[StoredVersion]:
    """Returns versions as W&B keeps them: equal ones once, and an alias at the newest one."""
    kept: list[tuple[StoredArtifact, StoredVersion]] = []
    for artifact, version in found:
        same = next((v for a, v in kept if _are_equal((a, v), (artifact, version))), None)
        for known, other in kept:
            if known.name == artifact.name:
                other.aliases = [alias for alias in other.aliases if alias not in version.aliases]
        if same is None:
            kept.append((artifact, version))
        else:
            same.aliases = [*same.aliases, *version.aliases]
    return [version for _, version in kept]


def _are_equal(
    one: tuple[StoredArtifact, StoredVersion], other: tuple[StoredArtifact, StoredVersion]
) -> bool:
    """Whether two tables of an epoch are one version. Other epochs may predict the same."""
    epochs = [version.metadata.get("epoch") for _, version in (one, other)]
    # Comparing contents may read files, so it comes last.
    return (
        one[0].name == other[0].name
        and epochs[0] == epochs[1]
        and one[0].content == other[0].content
    )


def _add_history(
    versions: Iterable[StoredVersion], history: Iterable[dict[Keys, Any]], files: Path
) -> None:
    """Adds to each version the values that the run logged as `eval/` in its epoch.

    Args:
        versions: The versions of one set.
        history: The rows of the run's history, with the values of the set.
        files: The directory of the files that the history names.
    """
    evaluations: list[dict[Keys, Any]] = []
    for row in history:
        if EPOCH not in row:
            continue
        newest = evaluations[-1] if evaluations else {}
        # An evaluation may be logged in several rows, but logs each name only once.
        if row.keys() & newest.keys() == {EPOCH} and row[EPOCH] == newest[EPOCH]:
            newest |= row
        else:
            evaluations.append(row)
    for version in versions:
        match = next((e for e in evaluations if e[EPOCH] == version.metadata.get("epoch")), None)
        if match is None:
            continue
        evaluations.remove(match)
        # Nested keys hold the settings of plots.
        numbers = {keys[0]: match[keys] for keys in match if len(keys) == 1 and keys != EPOCH}
        version.scalars = {k: v for k, v in numbers.items() if isinstance(v, int | float)}
        path = match.get((f"eval/{CONFUSION}", "path"), "")
        version.confusion = read_confusion(files, path)


def _of_set(row: Mapping[Keys, Any], names: SetName, others: Iterable[SetName]) -> dict[Keys, Any]:
    """Returns the values of a row of the history that are of a set, named as without sets.

    Args:
        row: The row.
        names: The name of the set.
        others: Those of the other sets, whose values may begin with the same letters.
    """
    prefixes = tuple(other.prefix for other in others if len(other.prefix) > len(names.prefix))
    own = {
        (f"eval/{keys[0].removeprefix(names.prefix)}", *keys[1:]): value
        for keys, value in row.items()
        if keys[0].startswith(names.prefix) and not keys[0].startswith(prefixes) and keys != EPOCH
    }
    return {EPOCH: row[EPOCH], **own} if EPOCH in row and (own or not prefixes) else {}
