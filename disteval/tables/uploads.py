"""Uploads the tables of a run in the background, where waiting for the network is harmless."""

from __future__ import annotations

import http.client
import logging
import shutil
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
        self._keep_local = keep_local
        self._worker = worker
        self._count = 0
        self._data: dict[str, wandb.Artifact] = {}
        self._failed: list[Package] = []
        # The newest version of each artifact, with the name of its package.
        self._newest: dict[str, tuple[str, wandb.Artifact]] = {}
        self._last_failed = False
        self._last_commit = time.monotonic()
        self._warned_about: list[str] = []
        _write_run(self.folder, run, self._data)

    def add(self, artifact: wandb.Artifact, aliases: list[str], **references: str) -> str:
        """Writes a package (see there), to be uploaded after earlier ones, and returns its name."""
        directory = self.folder / packages.directory_name(self._count, artifact.name, aliases)
        self._count += 1
        try:
            # The folder may have been removed, and is made again.
            (self.folder / (packages.KEPT if self._keep_local else "")).mkdir(
                parents=True, exist_ok=True
            )
            package = Package.write(directory, artifact, aliases=aliases, **references)
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)  # half a package only takes up space
            raise
        if self._worker.is_idle:
            self._last_commit = time.monotonic()
        self._worker.submit(lambda: self._upload(package))
        return package.name

    def drain(self) -> None:
        """Waits for all uploads unless W&B stops answering, and warns of what is left on disk."""
        if self._worker.has_thread:
            self._worker.submit(self._retry)
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
        self._retry()  # first, so that versions are in order
        try:
            self._commit(package)
        except Exception as error:
            if _answers(self.run.settings.base_url) and self._was_committed(package):
                return
            self._keep(package, error)

    def _was_committed(self, package: Package) -> bool:
        """Whether W&B has committed predictions, and only its answer was lost."""
        known = package.description
        alias = next((each for each in known["aliases"] if each not in MOVING), None)
        if package.is_data or alias is None:
            # Equal ground truth may have been committed by another run, which does not count.
            return False
        path = f"{self.run.entity}/{self.run.project}/{known['name']}:{alias}"
        try:
            found = wandb.Api().artifact(path)
            if found.digest != package.artifact(self._data.get(package.data or "")).digest:
                return False
        except Exception:  # W&B does not know it, or cannot be asked
            return False
        self._finish(package, found)
        return True

    def _retry(self) -> None:
        """Uploads what could not be uploaded before, until something fails again."""
        if not self._failed or not _answers(self.run.settings.base_url):
            return
        for package in list(self._failed):
            try:
                self._commit(package)
            except Exception:  # it was named when it failed first
                return

    def _commit(self, package: Package) -> None:
        if package.data is not None and package.data not in self._data:
            # The data artifact failed before, and these predictions refer to it.
            self._commit(next(other for other in self._failed if other.name == package.data))
        data = self._data.get(package.data or "")
        self._finish(package, package.upload(self.run, data))

    def _finish(self, package: Package, artifact: wandb.Artifact) -> None:
        """Records that an artifact is committed, and removes its package."""
        finish(package, artifact, self.run, self._data)
        name, aliases = package.description["name"], package.description["aliases"]
        if "latest" in aliases:
            self._newest[name] = package.name, artifact
        elif name in self._newest and package.name < self._newest[name][0]:
            _give_latest(self._newest[name][1])
        self._failed = [other for other in self._failed if other is not package]
        for older in self._failed:
            # Others that failed may also be newer, since those are tried again in order.
            if older.name < package.name and older.description["name"] == name:
                older.drop_aliases(MOVING & set(package.description["aliases"]))
        self._last_failed = False
        self._last_commit = time.monotonic()

    def _keep(self, package: Package, error: Exception) -> None:
        self._record(error)
        self._failed.append(package)
        self._last_failed = True
        logger.warning(
            "W&B could not log %s (%s). It is kept in %s; `%s` uploads it when training is over.",
            package.description["name"], describe_error(error), package.directory, self._command,
        )  # fmt: skip

    def _record(self, error: Exception) -> None:
        message = (
            f"W&B could not log a table: {describe_error(error)}. It is kept in {self.folder}; "
            f"`{self._command}` uploads it."
        )
        self._worker.record(DistEvalError(message), error)


def finish(
    package: Package, artifact: wandb.Artifact, run: wandb.Run, data: dict[str, wandb.Artifact]
) -> None:
    """Removes the package of a committed artifact; `data` are the data artifacts by package."""
    if package.is_data:
        data[package.name] = artifact
        try:
            _write_run(package.directory.parent, run, data)
        except OSError as error:
            # The artifact is committed: its package must not stay because of a full disk.
            logger.warning("%s could not be written (%s).", package.directory.parent / RUN, error)
    package.finish()


def _give_latest(artifact: wandb.Artifact) -> None:
    """Gives `latest` back to an artifact, after which W&B has uploaded an older one."""
    try:
        newest = wandb.Api().artifact(artifact.qualified_name)
        if "latest" not in newest.aliases:
            newest.aliases = [*newest.aliases, "latest"]
            newest.save()
    except Exception as error:  # the type is up to W&B
        logger.warning(
            "W&B could not give the alias latest back to %s (%s).",
            artifact.qualified_name, describe_error(error)
        )  # fmt: skip


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


def describe_error(error: Exception) -> str:
    """Returns an error as text, with its type unless the text speaks for itself."""
    # An assertion or a missing key says nothing by itself.
    says = isinstance(error, wandb.Error | OSError | DistEvalError | ValueError | TimeoutError)
    return str(error) if says and str(error) else f"{type(error).__name__}: {error}"
