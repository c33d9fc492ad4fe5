"""Uploads the tables of a run in the background, where waiting for the network is harmless."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from pathlib import Path

import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages
from disteval.tables.packages import MOVING, Package
from disteval.tables.run_folder import write_json
from disteval.tables.worker import Worker

logger = logging.getLogger("disteval")

# The end of training stops waiting after so many seconds without a committed version, if W&B
# fails or cannot be reached. While W&B answers, a large table may take longer.
STALL_SECONDS = 60.0
# Seconds between two checks of this, and for W&B to answer one.
POLL_SECONDS = 5.0
# The file that says whose packages are in a folder.
RUN = "run.json"


class Uploads:
    """Uploads the packages of one run, in order.

    Packages are read from disk when they are uploaded, and stay there if W&B fails.

    Args:
        run: The W&B run, online.
        worker: Runs the uploads.
        keep_local: Keep the packages on disk after their upload.

    Attributes:
        folder: Where the packages are.
    """

    def __init__(self, run: wandb.Run, worker: Worker, keep_local: bool = False) -> None:
        self.run = run
        self.folder = packages.new_folder(run)
        if keep_local:
            (self.folder / packages.KEPT).mkdir()
        self._worker = worker
        self._count = 0
        self._data: dict[str, wandb.Artifact] = {}
        self._failed: list[Package] = []
        self._last_failed = False
        self._last_commit = time.monotonic()
        self._warned_about: list[str] = []
        _write_run(self.folder, run, self._data)

    def add(self, artifact: wandb.Artifact, aliases: list[str], **references: str) -> str:
        """Writes a package (see there), to be uploaded after earlier ones, and returns its name."""
        directory = self.folder / packages.directory_name(self._count, artifact.name, aliases)
        self._count += 1
        package = Package.write(directory, artifact, aliases=aliases, **references)
        if self._worker.is_idle:
            self._last_commit = time.monotonic()
        self._worker.submit(lambda: self._upload(package))
        return package.name

    def drain(self) -> None:
        """Waits for all uploads unless W&B stops answering, and warns of what is left on disk."""
        if not self._worker.drain(self._is_stalled, POLL_SECONDS):
            self._record(TimeoutError("W&B cannot be reached"))
        left = [package.name for package in packages.find(self.folder)]
        if left and left != self._warned_about:
            self._warned_about = left
            logger.warning(
                "%d tables of run %s could not be uploaded and are kept in %s: %s. When W&B can "
                "be reached again, `%s` uploads them.",
                len(left), self.run.id, self.folder, ", ".join(left), self._command,
            )  # fmt: skip

    @property
    def _command(self) -> str:
        return f"python -m disteval upload {self.folder.parent.parent}"

    def _is_stalled(self) -> bool:
        if time.monotonic() - self._last_commit < STALL_SECONDS:
            return False
        return self._last_failed or not _answers(self.run.settings.base_url)

    def _upload(self, package: Package) -> None:
        try:
            if package.data is not None and package.data not in self._data:
                # The data artifact failed before, and these predictions refer to it.
                self._commit(next(other for other in self._failed if other.name == package.data))
            self._commit(package)
        except Exception as error:
            self._keep(package, error)

    def _commit(self, package: Package) -> None:
        _commit(package, self.run, self._data)
        self._failed = [other for other in self._failed if other is not package]
        for older in self._failed:
            if older.description["name"] == package.description["name"]:
                older.drop_aliases(MOVING & set(package.description["aliases"]))
        self._last_failed = False
        self._last_commit = time.monotonic()

    def _keep(self, package: Package, error: Exception) -> None:
        self._record(error)
        self._failed.append(package)
        self._last_failed = True
        logger.warning(
            "W&B could not log %s (%s). It is kept in %s; `%s` uploads it when training is over.",
            package.description["name"], _describe_error(error), package.directory, self._command,
        )  # fmt: skip

    def _record(self, error: Exception) -> None:
        message = (
            f"W&B could not log a table: {_describe_error(error)}. It is kept in {self.folder}; "
            f"`{self._command}` uploads it."
        )
        self._worker.record(DistEvalError(message), error)


def upload_left(directory: Path) -> int:
    """Uploads the packages that a run left on disk, to the same run.

    Args:
        directory: The run's directory, or one above it that holds those of several runs.

    Returns:
        The number of uploaded tables.

    Raises:
        DistEvalError: There is nothing to upload, or W&B fails.
    """
    folders = sorted({package.directory.parent for package in packages.find(directory)})
    if not folders:
        raise DistEvalError(f"There are no tables to upload in {directory}.")
    return sum(_upload_folder(folder) for folder in folders)


def _upload_folder(folder: Path) -> int:
    known = json.loads((folder / RUN).read_text())
    identity = {key: known[key] for key in ("entity", "project", "id")}
    count = 0
    with wandb.init(**identity, resume="allow", mode="online") as run:
        data = {name: wandb.Api().artifact(path) for name, path in known["data"].items()}
        for package in packages.find(folder):
            try:
                _commit(package, run, data)
            except Exception as error:
                raise DistEvalError(
                    f"W&B could not log {package.directory}: {_describe_error(error)}. It is "
                    "kept there, and so are the tables after it."
                ) from error
            count += 1
    return count


def _commit(package: Package, run: wandb.Run, data: dict[str, wandb.Artifact]) -> None:
    """Uploads a package and removes it from disk; `data` are the data artifacts by package."""
    artifact = package.upload(run, data.get(package.data or ""))
    if package.is_data:
        data[package.name] = artifact
        _write_run(package.directory.parent, run, data)
    package.finish()


def _write_run(folder: Path, run: wandb.Run, data: dict[str, wandb.Artifact]) -> None:
    """Writes down the run of the packages in a folder, and the data artifacts they refer to."""
    names = {name: artifact.qualified_name for name, artifact in data.items()}
    known = {"entity": run.entity, "project": run.project, "id": run.id, "data": names}
    write_json(folder / RUN, known)


def _answers(url: str) -> bool:
    """Whether a server can be reached and works; a refusal is an answer, too."""
    try:
        urllib.request.urlopen(url, timeout=POLL_SECONDS).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, http.client.HTTPException):
        return False
    return True


def _describe_error(error: Exception) -> str:
    return str(error) or type(error).__name__
