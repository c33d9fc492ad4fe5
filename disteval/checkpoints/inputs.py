"""Checkpoints that are W&B artifacts: downloaded, and inputs of the run."""

from __future__ import annotations

from pathlib import Path

import wandb

from disteval.checkpoints.files import Checkpoint, find
from disteval.errors import DistEvalError
from disteval.tables.sets import slug

PREFIX = "wandb-artifact://"


def local_path(given: str) -> Path:
    """Returns where a checkpoint is on disk; on the chief, whose run then uses an artifact.

    Args:
        given: A path, or `wandb-artifact://` and the name of an artifact, such as
            `wandb-artifact://entity/project/model:v3`.

    Raises:
        DistEvalError: W&B has no such artifact, or it holds no checkpoint, or several.
    """
    if not given.startswith(PREFIX):
        return Path(given)
    name = given.removeprefix(PREFIX)
    assert wandb.run is not None
    try:
        folder = Path(wandb.run.use_artifact(name).download())
    except (wandb.Error, ValueError, OSError) as error:
        raise DistEvalError(f"{given} cannot be downloaded: {error}") from error
    found = find(folder)
    if len(found) != 1:
        raise DistEvalError(
            f"{given} is no checkpoint. Received: an artifact with {len(found)} of them. Expected: "
            "one .keras, .weights.h5 or SavedModel."
        )
    return found[0].path


def alias_of(given: str, checkpoint: Checkpoint) -> str:
    """Returns the alias for the version of a checkpoint, such as `model-v3` for an artifact."""
    if not given.startswith(PREFIX):
        return checkpoint.alias
    name = given.removeprefix(PREFIX).rpartition("/")[2]
    return slug(name.replace(":", "-"))  # W&B allows no colon in an alias
