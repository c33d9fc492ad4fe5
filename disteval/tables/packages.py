"""Tables on disk, from when they are built until W&B has committed them.

A package is a directory with the files of an artifact and a `package.json` that describes it.
A package that could not be uploaded is kept for `python -m disteval upload`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import wandb

from disteval.errors import DistEvalError
from disteval.tables.run_folder import own_folder, read_json, write_json
from disteval.tables.wandb_private import ArtifactManifestEntry, staging_dir

logger = logging.getLogger("disteval")

DESCRIPTION = "package.json"
# The folder in which packages stay after their upload, for `python -m disteval report`.
KEPT = "kept"

# Aliases that move from one version to the next.
MOVING = frozenset({"latest", "best"})


class Package:
    """An artifact on disk.

    Attributes:
        directory: Where it is.
        name: The name of the directory.
        data: The name of the data artifact's package that it refers to; `None` for data itself.
        is_data: Whether it is a data artifact, which the run uses.
        description: `name`, `type`, `aliases`, `metadata`, whether the run `uses` it, and its
            `references` to files of the data artifact as `[path, path there, digest]`, and its
            `foreign` references to anything else as `[path, URL, digest, size, extra]`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self.description = _read_description(directory / DESCRIPTION)
        self.data: str | None = self.description["data"]
        self.is_data: bool = self.description["uses"]

    @classmethod
    def write(
        cls,
        directory: Path,
        artifact: wandb.Artifact,
        *,
        aliases: list[str],
        data: str | None = None,
        data_url: str = "",
    ) -> Package:
        """Writes an artifact to disk. It must be complete, and is not logged itself.

        Args:
            directory: A new directory.
            artifact: The artifact. Its files become hard links, if the file system allows it.
            aliases: Aliases of the version.
            data: See the attribute.
            data_url: Prefix of the references to the data artifact.
        """
        staging = staging_dir()
        references, foreign = [], []
        for path, entry in artifact.manifest.entries.items():
            if entry.ref is None:
                assert entry.local_path is not None
                source = Path(entry.local_path)
                _link(source, directory / "files" / path)
                if source.is_relative_to(staging):
                    # W&B's copy for the upload of this artifact, which is never uploaded itself.
                    source.unlink()
            elif data_url and entry.ref.startswith(data_url):
                references.append([path, entry.ref.removeprefix(data_url), entry.digest])
            else:
                foreign.append([path, entry.ref, entry.digest, entry.size, entry.extra])
        directory.mkdir(parents=True, exist_ok=True)
        description = {
            "name": artifact.name,
            "type": artifact.type,
            "metadata": artifact.metadata,
            "aliases": aliases,
            "uses": data is None,
            "data": data,
            "references": references,
            "foreign": foreign,
        }
        # Last and atomically: a directory without a description is not a package.
        write_json(directory / DESCRIPTION, description)
        return cls(directory)

    def artifact(self, data: wandb.Artifact | None) -> wandb.Artifact:
        """Builds the artifact from disk, to be logged.

        Args:
            data: The data artifact, committed; may be `None` if nothing refers to it.
        """
        known = self.description
        artifact = wandb.Artifact(known["name"], type=known["type"], metadata=known["metadata"])
        for name, path in self.files().items():
            # W&B uploads an immutable file from here instead of copying it first.
            artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)
        foreign = list(known["foreign"])
        for path, source, digest in known["references"]:
            assert data is not None
            foreign.append([path, data.get_entry(source).ref_url(), digest, 0, {}])
        for path, ref, digest, size, extra in foreign:
            # Without add_reference, which would look up each target again.
            artifact.manifest.add_entry(
                ArtifactManifestEntry(path=path, digest=digest, ref=ref, size=size, extra=extra)
            )
        return artifact

    def files(self) -> dict[str, Path]:
        """Returns its files by their paths in the artifact.

        Links and whatever else is no regular file are left out, with a warning: what they refer to
        is not a part of the package, and may be private, endless, or block.
        """
        found: dict[str, Path] = {}
        root = self.directory / "files"
        if root.is_symlink():
            _warn_of(root)
            return {}
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted([*names, *(n for n in folders if Path(folder, n).is_symlink())]):
                path = Path(folder, name)
                if stat.S_ISREG(path.lstat().st_mode):
                    found[path.relative_to(root).as_posix()] = path
                else:
                    _warn_of(path)
        return found

    def upload(self, run: wandb.Run, data: wandb.Artifact | None) -> wandb.Artifact:
        """Logs the artifact and waits until it is committed.

        Raises:
            Exception: W&B failed; the type is up to W&B.
        """
        artifact = self.artifact(data)
        log = run.use_artifact if self.is_data else run.log_artifact
        log(artifact, aliases=self.description["aliases"])
        return artifact.wait()

    def drop_aliases(self, aliases: AbstractSet[str]) -> None:
        """Drops aliases that a newer version has taken."""
        self.description["aliases"] = [a for a in self.description["aliases"] if a not in aliases]
        write_json(self.directory / DESCRIPTION, self.description)

    def finish(self) -> None:
        """Removes the package of a committed artifact, or moves it to the folder `KEPT`."""
        kept = self.directory.parent / KEPT
        if kept.exists():
            self.directory.rename(kept / self.name)
        else:
            shutil.rmtree(self.directory)


def new_folder(run: wandb.Run) -> Path:
    """Makes a folder for packages in the run's directory, one for each callback of a run."""
    parent = own_folder(run)
    for number in itertools.count():
        folder = parent / f"{number:02d}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def directory_name(number: int, name: str, aliases: list[str]) -> str:
    """Returns the name of a package's directory, such as `000003-epoch_2`."""
    label = next((alias for alias in aliases if alias not in MOVING), name)
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9._-]', '_', label)[:64]}"


def find(
    directory: Path, on_damage: Callable[[DistEvalError], None] | None = None
) -> Iterator[Package]:
    """Yields the packages to upload below a directory, in the order in which they were written.

    Args:
        directory: The directory.
        on_damage: Called for each damaged package, instead of a warning.
    """
    for folder, _, files in sorted(os.walk(directory)):
        if DESCRIPTION in files and Path(folder).parent.name != KEPT:
            try:
                package = Package(Path(folder))
            except FileNotFoundError:  # uploaded and removed since `os.walk` listed it
                continue
            except DistEvalError as error:
                (on_damage or logger.warning)(error)
                continue
            yield package


def _read_description(path: Path) -> dict[str, Any]:
    """Reads the description of a package.

    Raises:
        DistEvalError: It is damaged.
        FileNotFoundError: There is none.
    """
    fields = {"name": str, "type": str, "metadata": dict, "aliases": list, "uses": bool,
              "data": str | None, "references": list, "foreign": list}  # fmt: skip
    known = read_json(path)
    fault = "is no mapping"
    if isinstance(known, dict):
        wrong = [name for name, kind in fields.items() if not isinstance(known.get(name, 0), kind)]
        lengths = {"references": 3, "foreign": 5}
        wrong += [
            name
            for name, length in lengths.items()
            if name not in wrong
            and not all(isinstance(each, list) and len(each) == length for each in known[name])
        ]
        if not wrong:
            return known
        fault = f"has no valid {wrong[0]!r}"
    raise DistEvalError(f"A kept table is damaged: {path} {fault}.")


def _warn_of(path: Path) -> None:
    logger.warning("%s is no regular file, and is left out.", path)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
