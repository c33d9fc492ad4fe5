"""Checkpoints on disk: which files are some, and whether they are whole."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import zipfile
from pathlib import Path

from disteval.tables.packages import MOVING
from disteval.tables.sets import slug

WEIGHTS = ".weights.h5"
# The longest first, so that a name loses all of its ending.
ENDINGS = (WEIGHTS, ".keras", ".h5")
# What makes a folder a SavedModel.
SAVED_MODEL = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was when it was looked at; another state of a file is another checkpoint.

    Attributes:
        path: The file, or the folder of a SavedModel.
        size: Its size in bytes.
        modified: When it was written last, in nanoseconds.
    """

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Checkpoint:
        """Looks at a checkpoint.

        Raises:
            OSError: There is none, or no longer.
        """
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        found = [file.stat() for file in files]
        return cls(
            path, sum(s.st_size for s in found), max((s.st_mtime_ns for s in found), default=0)
        )

    @property
    def name(self) -> str:
        """Its name without the ending, such as `model-03`."""
        ending = next((each for each in ENDINGS if self.path.name.endswith(each)), "")
        return self.path.name.removesuffix(ending)

    @property
    def alias(self) -> str:
        """The alias of its version in W&B."""
        # W&B's own aliases move from one version to the next.
        return slug(f"checkpoint-{self.name}" if self.name in MOVING else self.name)

    def is_unchanged(self) -> bool:
        """Whether it is still there, as it was."""
        with contextlib.suppress(OSError):
            return Checkpoint.of(self.path) == self
        return False


def find(folder: Path) -> list[Checkpoint]:
    """Returns the checkpoints in a folder, the oldest first; of one time, by their names."""
    found = []
    for path in folder.iterdir():
        is_file = not path.name.startswith(".") and path.name.endswith(ENDINGS)
        if is_file or (path / SAVED_MODEL).exists():
            with contextlib.suppress(OSError):  # it was removed since
                found.append(Checkpoint.of(path))
    return sorted(found, key=lambda each: (each.modified, _natural(each.path.name)))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was written to its end, as far as its form tells.

    The list of the files in a `.keras` comes last. HDF5 locks a file while it is written, and one
    whose writer was killed is shorter than it says.
    """
    if path.is_dir():
        return (path / SAVED_MODEL).exists()
    if path.suffix == ".keras":
        return zipfile.is_zipfile(path)
    import h5py  # a dependency of Keras

    try:
        h5py.File(path).close()
    except OSError:
        return False
    return True


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a key by which `model-10` comes after `model-9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
