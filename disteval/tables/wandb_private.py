"""Every private name of W&B that this package uses, and why; no other module uses one.

W&B may change these in any release: `tests/unit/tables/test_wandb_private.py` tests each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

# The messages in a run's `.wandb` file, which alone describes the artifacts of an offline run.
from wandb.proto.wandb_internal_pb2 import Record as Record  # type: ignore[attr-defined]

# Where `wandb sync` moves the files of an offline run.
from wandb.sdk.artifacts.artifact_file_cache import artifacts_cache_dir as artifacts_cache_dir
from wandb.sdk.artifacts.artifact_instance_cache import artifact_instance_cache_by_client_id

# `Artifact.add_reference` looks up each target, which costs requests, and fails if W&B has dropped
# the target's artifact from memory. An entry needs no target.
from wandb.sdk.artifacts.artifact_manifest_entry import (
    ArtifactManifestEntry as ArtifactManifestEntry,
)
from wandb.sdk.artifacts.staging import get_staging_dir
from wandb.sdk.data_types._private import MEDIA_TMP
from wandb.sdk.wandb_run import TeardownHook, TeardownStage


def client_id(artifact: wandb.Artifact) -> str:
    """Returns the only ID that an artifact has before its upload, for references to it."""
    return artifact._client_id


def forget_instance(artifact: wandb.Artifact) -> None:
    """Frees an artifact that W&B would keep in memory until a hundred others were made."""
    artifact_instance_cache_by_client_id.pop(client_id(artifact), None)


def on_teardown(run: wandb.Run, function: Callable[[], None]) -> None:
    """Calls a function before a run finishes, for which W&B has no public hook."""
    run._teardown_hooks.append(TeardownHook(function, TeardownStage.EARLY))


def offline_failure(run: wandb.Run) -> str | None:
    """Returns the line in which W&B's service says that it cannot write the file of a run.

    The service says so nowhere else, and the format of its own log is private.
    """
    name = Path(run.settings.sync_file).name
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = Path(run.settings.log_internal).read_text(errors="replace").splitlines()
    return next((line for line in lines if '"ERROR"' in line and name in line), None)


def media_dir() -> Path:
    """Returns where W&B keeps media from when they are made until they are logged."""
    return Path(MEDIA_TMP.name)


def staging_dir() -> Path:
    """Returns where W&B keeps copies of an artifact's files until the artifact is uploaded."""
    return Path(get_staging_dir())


def image_size(image: wandb.Image) -> tuple[int, int]:
    """Returns width and height in pixels; the public `image.image` reads the file for them."""
    return image._width, image._height  # type: ignore[return-value]


def image_masks(image: wandb.Image) -> dict[str, Any]:
    """Returns the masks of an image by key, for another image to share them."""
    return image._masks or {}
