"""Uploading the tables of a run on a thread of its own, which may wait for the network."""

from __future__ import annotations

import json
import logging
import queue
import threading
from pathlib import Path

import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages
from disteval.tables.packages import Package

logger = logging.getLogger("disteval")

# Seconds without a committed version after which the end of training waits no longer.
STALL_SECONDS = 60.0

RUN = "run.json"


class Uploads:
    """The packages of one run on their way to W&B, in order.

    Nothing of them is held in memory, and whatever cannot be uploaded stays on disk.

    Args:
        run: The W&B run, online.
    """

    def __init__(self, run: wandb.Run) -> None:
        self.run = run
        self._queue: queue.Queue[Package] = queue.Queue()
        self._data: wandb.Artifact | None = None
        self._data_package: Package | None = None
        self._failed: list[Package] = []
        self._error: Exception | None = None
        self._count = 0
        self._progress = threading.Condition()
        self._open = 0
        self._describe()
        threading.Thread(target=self._work, name="disteval-uploads", daemon=True).start()

    def add(
        self,
        artifact: wandb.Artifact,
        aliases: list[str],
        *,
        uses: bool = False,
        data_url: str = "",
    ) -> None:
        """Takes an artifact on, see `Package.write`; returns when it is on disk."""
        name = f"{self._count:06d}-{aliases[-1] if aliases else 'data'}"
        self._count += 1
        directory = packages.folder(self.run) / name
        package = Package.write(directory, artifact, aliases=aliases, uses=uses, data_url=data_url)
        with self._progress:
            self._open += 1
        self._queue.put(package)

    def drain(self) -> None:
        """Waits until all are uploaded or kept, or nothing has moved for a while.

        What is left then is named in a warning.
        """
        with self._progress:
            while self._open:
                before = self._open
                if not self._progress.wait(STALL_SECONDS) and self._open == before:
                    break
        left = list(packages.find(packages.folder(self.run)))
        if left:
            logger.warning(
                "%d tables of run %s could not be uploaded and are kept in %s: %s. When W&B can "
                "be reached again, `python -m disteval upload %s` uploads them.",
                len(left),
                self.run.id,
                packages.folder(self.run),
                ", ".join(package.directory.name for package in left),
                packages.folder(self.run).parent,
            )

    def raise_error(self) -> None:
        """Raises what failed first since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise DistEvalError(
                f"W&B could not log a table: {error}. It is kept in {packages.folder(self.run)}; "
                f"`python -m disteval upload {packages.folder(self.run).parent}` uploads it."
            ) from error

    def _work(self) -> None:
        while True:
            package = self._queue.get()
            try:
                self._upload(package)
            except Exception as error:
                self._error = self._error or error
                self._failed.append(package)
                logger.warning(
                    "W&B could not log %s (%s). It is kept in %s; `python -m disteval upload %s` "
                    "uploads it.",
                    package.description["name"],
                    error,
                    package.directory,
                    packages.folder(self.run).parent,
                )
            finally:
                with self._progress:
                    self._open -= 1
                    self._progress.notify_all()

    def _upload(self, package: Package) -> None:
        if package.description["uses"]:
            self._data, self._data_package = None, package
        if self._data is None and self._data_package is not None:
            # Also before a later version, if the data table failed before.
            self._data = self._data_package.upload(self.run, None)
            self._describe()
            self._finish(self._data_package)
        if package is not self._data_package:
            package.upload(self.run, self._data)
            self._finish(package)

    def _describe(self) -> None:
        """Writes down, for `upload_left`, whose packages these are and what they refer to."""
        known = {
            "entity": self.run.entity,
            "project": self.run.project,
            "id": self.run.id,
            "data": self._data.qualified_name if self._data is not None else None,
        }
        folder = packages.folder(self.run)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).write_text(json.dumps(known))

    def _finish(self, package: Package) -> None:
        package.delete()
        self._failed = [other for other in self._failed if other is not package]
        for older in self._failed:
            older.drop_aliases({"latest", "best"} & set(package.description["aliases"]))


def upload_left(directory: Path) -> int:
    """Uploads the packages that a run left behind, into that run.

    Args:
        directory: The run's directory, or one above it that holds those of several runs.

    Returns:
        The number of tables uploaded.

    Raises:
        DistEvalError: There is nothing to upload.
    """
    folders = sorted({package.directory.parent for package in packages.find(directory)})
    if not folders:
        raise DistEvalError(f"There are no tables to upload in {directory}.")
    count = 0
    for folder in folders:
        known = json.loads((folder / RUN).read_text())
        with wandb.init(
            entity=known["entity"], project=known["project"], id=known["id"], resume="allow"
        ) as run:
            data = wandb.Api().artifact(known["data"]) if known["data"] else None
            for package in packages.find(folder):
                committed = package.upload(run, data)
                data = committed if package.description["uses"] else data
                package.delete()
                count += 1
    return count
