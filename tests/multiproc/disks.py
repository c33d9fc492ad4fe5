"""Small disks that a test can fill."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

FILLER = "filler"


@contextlib.contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator[Path]:
    """Makes a folder on a disk of its own, as long as the context lasts."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@functools.cache
def can_mount() -> bool:
    """Returns whether this process can mount a disk; even root in a container often cannot."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 4096):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def is_above_modes() -> bool:
    """Returns whether this process may write where the mode of a folder forbids it, as root may."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        return os.access(folder, os.W_OK)


def fill(disk: Path) -> None:
    """Leaves no space on a disk."""
    with contextlib.suppress(OSError), (disk / FILLER).open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def empty(disk: Path) -> None:
    """Frees what `fill` has taken."""
    (disk / FILLER).unlink(missing_ok=True)
