"""Uploads the packages that a run left on disk: the command `python -m disteval upload`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages
from disteval.tables.run_folder import read_json
from disteval.tables.uploads import RUN, describe_error, finish

logger = logging.getLogger("disteval")


def upload_left(directory: Path, say: Callable[[str], Any] = logger.info) -> int:
    """Uploads the packages that a run left on disk, to the same run.

    What cannot be uploaded does not keep the rest from it.

    Args:
        directory: The run's directory, or one above it that holds those of several runs.
        say: Told of each run before tables are uploaded to it.

    Returns:
        The number of uploaded tables.

    Raises:
        DistEvalError: There is nothing to upload, or some of it could not be; it names each.
    """
    failures: list[str] = []
    found = packages.find(directory, lambda error: failures.append(str(error)))
    folders = sorted({package.directory.parent for package in found})
    if not folders and not failures:
        raise DistEvalError(f"There are no tables to upload in {directory}.")
    count = 0
    for folder in folders:
        try:
            count += _upload_folder(folder, say, failures)
        except Exception as error:
            failures.append(f"{folder}: {describe_error(error)}")
    if failures:
        listed = "".join(f"\n  {failure}" for failure in failures)
        raise DistEvalError(
            f"{count} tables were uploaded, and {len(failures)} could not be, which are still "
            f"there:{listed}"
        )
    return count


def _upload_folder(folder: Path, say: Callable[[str], Any], failures: list[str]) -> int:
    """Uploads the packages in a folder, and adds to `failures` those that cannot be."""
    known = read_json(folder / RUN)
    keys = ("entity", "project", "id")
    if not isinstance(known, dict) or not all(isinstance(known.get(key), str) for key in keys):
        raise DistEvalError(f"{folder / RUN} does not say to which run its tables belong.")
    identity = {key: known[key] for key in keys}
    path = "/".join(identity.values())
    left = list(packages.find(folder, lambda error: None))
    say(f"Uploading {len(left)} tables to {path}")
    state = _state_of(path)
    run = wandb.init(**identity, resume="allow", mode="online")
    count, data = 0, dict[str, wandb.Artifact]()
    for package in left:
        try:
            if package.data is not None and package.data not in data:
                data[package.data] = _logged_data(known, package.data)
            artifact = package.upload(run, data.get(package.data or ""))
            finish(package, artifact, run, data)
        except Exception as error:
            failures.append(f"{package.directory}: {describe_error(error)}")
            continue
        count += 1
    # A run that has finished is not to become one that has failed, nor the reverse.
    run.finish(exit_code=int(state in ("failed", "crashed", "killed")))
    return count


def _logged_data(known: dict[str, Any], package: str) -> wandb.Artifact:
    """Returns the data artifact of a package that was uploaded before."""
    path = (known.get("data") or {}).get(package)
    if path is None:
        raise DistEvalError(f"the ground truth that it refers to, {package}, was not uploaded")
    return wandb.Api().artifact(path)


def _state_of(path: str) -> str:
    """Returns the state of a run; empty if W&B does not know it."""
    try:
        return str(wandb.Api().run(path).state)
    except (wandb.Error, ValueError, OSError):
        return ""
