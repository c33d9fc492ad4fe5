"""From the files of a run on this machine to the versions of its predictions."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from disteval.errors import DistEvalError
from disteval.report.transactions import StoredArtifact, read_artifacts, read_records
from disteval.tables import packages

PREDICTIONS = "_pred"
# The type of the artifacts that W&B makes for tables and plots in `run.log`.
LOGGED = "run_table"
# The keys of a value in a run's history; several for a value in a nested dict.
Keys = tuple[str, ...]
EPOCH = ("eval/epoch",)
# Where the history keeps the path of the table of `wandb.plot.confusion_matrix`.
CONFUSION = ("eval/confusion_matrix_table", "path")
# How the file name of a table ends. Each artifact has one table.
TABLE, PARTITIONED = ".table.json", ".partitioned-table.json"


@dataclasses.dataclass
class StoredVersion:
    """The predictions of one evaluation.

    Attributes:
        aliases: Aliases of the artifact's version.
        metadata: Its metadata; see `disteval.tables.version.Version`.
        columns: The columns of its table, joined with the columns of the ground-truth table.
        files: Where the media file of each path in a cell is.
        scalars: What the run logged as `eval/...` with this evaluation.
        confusion: Rows of truth, prediction and number of samples, over all evaluated samples, if
            the run logged them: the table may hold fewer samples.
    """

    aliases: list[str]
    metadata: dict[str, Any]
    columns: dict[str, list[Any]]
    files: Mapping[str, Path]
    scalars: dict[str, float] = dataclasses.field(default_factory=dict)
    confusion: list[list[Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Run:
    """A run and its versions, in the order in which they were logged."""

    directory: Path
    id: str
    name: str
    project: str
    started: datetime.datetime | None
    versions: list[StoredVersion]


def find_run(directory: Path) -> Path:
    """Returns a run's directory: the given one, or the newest below it."""
    if any(directory.glob("*.wandb")):
        return directory.resolve()
    # Named by the time, as in offline-run-20260102_030405-a1b2c3d4; `latest-run` is a link.
    runs = [path.parent for path in directory.glob("*run-[0-9]*/*.wandb")]
    if not runs:
        raise DistEvalError(
            f"There is no W&B run in {directory}. Expected: the directory of a run, such as "
            "wandb/offline-run-20260102_030405-a1b2c3d4, or one above it."
        )
    return max(runs, key=lambda path: path.name.partition("run-")[2]).resolve()


def read_run(directory: Path) -> Run:
    """Reads a run's directory.

    Raises:
        DistEvalError: It holds no predictions, or their files have been removed.
    """
    run = Run(directory, "", "", "", None, [])
    history: list[dict[Keys, Any]] = []
    for path in directory.glob("*.wandb"):
        for record in read_records(path):
            if record.HasField("run"):
                run.id, run.project = record.run.run_id, record.run.project
                run.name = record.run.display_name or run.name
                run.started = record.run.start_time.ToDatetime(datetime.timezone.utc)
            elif record.HasField("history"):
                history.append(_evaluated(record.history.item))
    artifacts = [*read_artifacts(directory), *_read_packages(directory)]
    run.versions = _read_versions(artifacts)
    if not run.versions:
        raise DistEvalError(
            f"There are no predictions in {directory}. Expected: a run with WANDB_MODE=offline, "
            "or one whose DistEvalCallback was constructed with keep_local=True."
        )
    _add_history(run.versions, history, directory / "files")
    return run


def _evaluated(items: Iterable[Any]) -> dict[Keys, Any]:
    """Returns the values of a row of the history whose names begin with `eval/`."""
    texts = {(i.key,) if i.key else tuple(i.nested_key): i.value_json for i in items}
    return {keys: json.loads(texts[keys]) for keys in texts if keys[0].startswith("eval/")}


def _read_packages(directory: Path) -> list[StoredArtifact]:
    """Returns the artifacts that an online run kept, or could not upload yet."""
    artifacts = []
    data: dict[tuple[Path, str], dict[str, Path]] = {}
    for folder, package in sorted(_find_packages(directory), key=lambda f: (f[0], f[1].name)):
        known, root = package.description, package.directory / "files"
        files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
        if package.is_data:
            data[folder, package.name] = files
        there = data.get((folder, package.data or ""), {})
        files |= {path: there[source] for path, source, _ in known["references"] if source in there}
        named = {key: known[key] for key in ("name", "type", "aliases", "metadata")}
        references = [path for path, _, _ in known["references"]]
        artifacts.append(StoredArtifact(**named, files=files, references=references))
    return artifacts


def _find_packages(directory: Path) -> Iterator[tuple[Path, packages.Package]]:
    """Yields each package, kept or not uploaded, with the folder to which it was written."""
    for path in directory.rglob(packages.DESCRIPTION):
        folder = path.parent.parent
        package = packages.Package(path.parent)
        yield (folder.parent if folder.name == packages.KEPT else folder), package


def _read_versions(artifacts: Iterable[StoredArtifact]) -> list[StoredVersion]:
    versions = []
    data, data_columns = None, {}  # type: StoredArtifact | None, dict[str, list[Any]]
    for artifact in artifacts:
        path = _table_path(artifact)
        if path is None or artifact.type == LOGGED:
            continue
        if artifact.name.endswith(PREDICTIONS):
            columns, rows = _read_table(artifact, path)
            _join(columns, rows, data_columns)
            # The files of cells that were joined are in the data artifact.
            files = {**(data.files if data else {}), **artifact.files}
            versions.append(StoredVersion(artifact.aliases, artifact.metadata, columns, files))
        else:
            data, data_columns = artifact, _read_table(artifact, path)[0]
    return versions


def _table_path(artifact: StoredArtifact) -> str | None:
    """Returns the path of the artifact's own table, as opposed to tables that it refers to."""
    names = [p for p in artifact.files if p.endswith((TABLE, PARTITIONED)) and "/" not in p]
    return names[0] if names else None


def _read_table(
    artifact: StoredArtifact, path: str
) -> tuple[dict[str, list[Any]], list[int] | None]:
    """Returns the columns of a table, and its foreign key into the data table if it has one."""
    table = _read_json(artifact.files[path])
    parts = [table]
    if path.endswith(PARTITIONED):
        inside = sorted(p for p in artifact.files if p.startswith(table["parts_path"] + "/"))
        parts = [_read_json(artifact.files[p]) for p in inside]
    names = parts[0]["columns"]
    types = parts[0]["column_types"]["params"]["type_map"]
    rows = [row for part in parts for row in part["data"]]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    for name in names:
        if types.get(name, {}).get("wb_type") == "foreignIndex":
            return columns, [int(row) for row in columns.pop(name)]
    return columns, None


def _join(
    columns: dict[str, list[Any]], rows: list[int] | None, data: Mapping[str, list[Any]]
) -> None:
    """Adds the columns of the ground-truth table: by the foreign key, or row by row."""
    num_rows = len(next(iter(columns.values()), []))
    num_data = len(next(iter(data.values()), []))
    if rows is None:
        if num_rows != num_data:  # a subset of the rows; its table holds all columns to show
            return
        rows = list(range(num_rows))
    columns |= {name: [data[name][i] for i in rows] for name in data if name not in columns}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DistEvalError(
            f"A table of the run is no longer on this machine: {path}. W&B stages the tables of an "
            "offline run outside of its directory (WANDB_DATA_DIR), and moves them to its cache "
            "(WANDB_CACHE_DIR) when they are synced."
        ) from None


def _add_history(
    versions: Iterable[StoredVersion], history: Iterable[dict[Keys, Any]], files: Path
) -> None:
    """Adds to each version the values that the run logged as `eval/` in its epoch.

    Args:
        versions: The versions.
        history: The rows of the run's history.
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
        path = files / match.get(CONFUSION, "")
        if path.is_file():
            version.confusion = _read_json(path)["data"]
