"""Uploading the tables of a run on a thread of its own, which may wait for the network."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages
from disteval.tables.packages import MOVING, Package

logger = logging.getLogger("disteval")

# Seconds without a committed version after which the end of training waits for W&B no longer, if
# W&B cannot be reached or fails. While W&B answers, a large table may take longer.
STALL_SECONDS = 60.0
# Seconds from one look at this to the next, and for W&B to answer at all.
POLL_SECONDS = 5.0

RUN = "run.json"


class Uploads:
    """The packages of one run on their way to W&B, in order.

    Nothing of them is held in memory, and whatever cannot be uploaded stays on disk.

    Args:
        run: The W&B run, online.
        keep_local: Keep the packages on disk after their upload.

    Attributes:
        folder: Where the packages are.
    """

    def __init__(self, run: wandb.Run, keep_local: bool = False) -> None:
        self.run = run
        self.folder = packages.new_folder(run)
        if keep_local:
            (self.folder / packages.KEPT).mkdir()
        self._queue: queue.Queue[Package] = queue.Queue()
        self._data: dict[str, wandb.Artifact] = {}
        self._failed: list[Package] = []
        self._error: Exception | None = None
        self._count = 0
        self._progress = threading.Condition()
        self._open = 0
        self._last_failed = False
        self._last_commit = time.monotonic()
        self._named: list[str] = []
        self._closed = False
        self._describe()
        threading.Thread(target=self._work, name="disteval-uploads", daemon=True).start()

    def add(
        self,
        artifact: wandb.Artifact,
        aliases: list[str],
        *,
        data: str | None = None,
        data_url: str = "",
    ) -> str:
        """Takes an artifact on, and returns the package's name when it is on disk.

        See `Package.write` for the arguments.
        """
        directory = self.folder / packages.directory_name(self._count, artifact.name, aliases)
        self._count += 1
        package = Package.write(directory, artifact, aliases=aliases, data=data, data_url=data_url)
        with self._progress:
            if not self._open:
                self._last_commit = time.monotonic()
            self._open += 1
        self._queue.put(package)
        return package.name

    def drain(self) -> None:
        """Waits until all are uploaded or kept, or W&B is given up.

        What is left then is named in a warning.
        """
        with self._progress:
            while self._open and not self._is_stalled():
                self._progress.wait(POLL_SECONDS)
            if self._open:
                self._error = self._error or TimeoutError("W&B cannot be reached")
        left = [package.name for package in packages.find(self.folder)]
        if left and left != self._named:
            self._named = left
            logger.warning(
                "%d tables of run %s could not be uploaded and are kept in %s: %s. When W&B can "
                "be reached again, `%s` uploads them.",
                len(left), self.run.id, self.folder, ", ".join(left), self._command,
            )  # fmt: skip

    def close(self) -> None:
        """Does what `drain` does, and stops."""
        self.drain()
        self._closed = True

    def raise_error(self) -> None:
        """Raises what failed first since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise DistEvalError(
                f"W&B could not log a table: {_describe_error(error)}. It is kept in "
                f"{self.folder}; `{self._command}` uploads it."
            ) from error

    @property
    def _command(self) -> str:
        return f"python -m disteval upload {self.folder.parent.parent}"

    def _is_stalled(self) -> bool:
        if time.monotonic() - self._last_commit < STALL_SECONDS:
            return False
        return self._last_failed or not _answers(self.run.settings.base_url)

    def _work(self) -> None:
        while True:
            package = self._queue.get()
            try:
                if not self._closed:
                    self._upload(package)
            except Exception as error:
                self._keep(package, error)
            finally:
                with self._progress:
                    self._open -= 1
                    self._progress.notify_all()

    def _upload(self, package: Package) -> None:
        if package.data is not None and package.data not in self._data:
            # It failed before, and the predictions refer to it.
            self._commit(next(other for other in self._failed if other.name == package.data))
        self._commit(package)

    def _commit(self, package: Package) -> None:
        artifact = package.upload(self.run, self._data.get(package.data or ""))
        if package.is_data:
            self._data[package.name] = artifact
            self._describe()
        package.finish()
        self._failed = [other for other in self._failed if other is not package]
        for older in self._failed:
            if older.description["name"] == package.description["name"]:
                older.drop_aliases(MOVING & set(package.description["aliases"]))
        self._last_failed = False
        self._last_commit = time.monotonic()

    def _keep(self, package: Package, error: Exception) -> None:
        self._error = self._error or error
        self._failed.append(package)
        self._last_failed = True
        logger.warning(
            "W&B could not log %s (%s). It is kept in %s; `%s` uploads it when training is over.",
            package.description["name"], _describe_error(error), package.directory, self._command,
        )  # fmt: skip

    def _describe(self) -> None:
        """Writes down, for `upload_left`, whose packages these are and what they refer to."""
        known = {
            "entity": self.run.entity,
            "project": self.run.project,
            "id": self.run.id,
            "data": {name: artifact.qualified_name for name, artifact in self._data.items()},
        }
        packages.write_json(self.folder / RUN, known)


def upload_left(directory: Path) -> int:
    """Uploads the packages that a run left behind, into that run.

    Args:
        directory: The run's directory, or one above it that holds those of several runs.

    Returns:
        The number of tables uploaded.

    Raises:
        DistEvalError: There is nothing to upload, or W&B fails again.
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
                artifact = package.upload(run, data.get(package.data or ""))
            except Exception as error:
                raise DistEvalError(
                    f"W&B could not log {package.directory}: {_describe_error(error)}. It is "
                    "still there, with those after it."
                ) from error
            if package.is_data:
                data[package.name] = artifact
                known["data"][package.name] = artifact.qualified_name
                packages.write_json(folder / RUN, known)
            package.finish()
            count += 1
    return count


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=POLL_SECONDS).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, http.client.HTTPException):
        return False
    return True


def _describe_error(error: Exception) -> str:
    return str(error) or type(error).__name__
