"""The W&B key, in a file that a launcher wrote or mounted for rank 0."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import wandb

from disteval.doctor.report import has_login

VARIABLE = "DISTEVAL_WANDB_KEY_FILE"


def read_wandb_key() -> None:
    """Puts the key in the environment, where W&B looks for it; exits where it cannot be used."""
    if VARIABLE not in os.environ:
        return
    path = Path(os.environ[VARIABLE])
    try:
        # Without O_NONBLOCK, opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        _exit_without_a_login(path)
        return
    except OSError as error:
        sys.exit(f"The W&B key cannot be read: {error} ({VARIABLE}).")
    with os.fdopen(descriptor) as file:
        _check_that_it_is_secret(path, os.fstat(descriptor))
        # A Kubernetes secret that was made from a file ends with its newline.
        os.environ["WANDB_API_KEY"] = file.read().strip()


def _check_that_it_is_secret(path: Path, status: os.stat_result) -> None:
    """Exits if others could have written the file, or can read it."""
    mode = stat.S_IMODE(status.st_mode)
    # Root mounts the secrets of a Kubernetes pod, for a group if the pod has an `fsGroup`.
    is_secret = status.st_uid in (os.getuid(), 0) and not mode & 0o037
    if not is_secret or not stat.S_ISREG(status.st_mode):
        sys.exit(
            f"The file with the W&B key is not safe ({VARIABLE}). Received: {path}, of user "
            f"{status.st_uid}, mode {mode:03o}. Expected: a file of user {os.getuid()} or of root, "
            "which others cannot read or write: chmod 600."
        )


def _exit_without_a_login(path: Path) -> None:
    """Exits if W&B needs a key and has no other, since the launcher removed the variable."""
    mode = wandb.setup().settings.mode
    if mode not in ("offline", "disabled") and not has_login():
        sys.exit(
            "There is no W&B key on this machine: the launcher moved WANDB_API_KEY to a file of "
            f"its own machine. Received: {VARIABLE}={path}, which does not exist here. Expected: "
            "`wandb login` on the machine of rank 0, or WANDB_MODE=offline."
        )
