"""Versions of the tables on disk, from when they are built until W&B has committed them.

A package is a directory with the files of an artifact and a `package.json` that says the rest.
What could not be uploaded stays there, for `python -m disteval upload`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry
from wandb.sdk.artifacts.staging import get_staging_dir

DESCRIPTION = "package.json"
# The folder in which packages stay after their upload, for `python -m disteval report`.
KEPT = "kept"

# Aliases that move from one version to the next.
MOVING = frozenset({"latest", "best"})


class Package:
    """An artifact on disk.

    Attributes:
        directory: Where it is.
        description: `name`, `type`, `aliases`, `metadata`, whether the run `uses` it, and its
            `references` to files of the data artifact, `[path, path there, digest]`, and to
            anything else, `foreign`: `[path, URL, digest, size, extra]`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.description: dict[str, Any] = json.loads((directory / DESCRIPTION).read_text())

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.directory.name

    @property
    def is_data(self) -> bool:
        """Whether this is a ground-truth table, which the run uses."""
        return bool(self.description["uses"])

    @property
    def data(self) -> str | None:
        """The name of the package with the data artifact that this one refers to, if it does."""
        return self.description["data"]

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
        """Writes an artifact that is complete and was not logged.

        Args:
            directory: A new directory.
            artifact: Its files are linked where the file system can do so.
            aliases: Those that the version is to get.
            data: The name of the package whose artifact this one refers to. Without it, the
                artifact is data itself, which the run is to use.
            data_url: What the references to the data artifact start with.
        """
        staging = Path(get_staging_dir())
        references, foreign = [], []
        for path, entry in artifact.manifest.entries.items():
            if entry.ref is None:
                assert entry.local_path is not None
                source = Path(entry.local_path)
                _link(source, directory / "files" / path)
                if source.is_relative_to(staging):
                    # W&B's own copy for an upload, and this artifact is never uploaded itself.
                    source.unlink()
            elif data_url and entry.ref.startswith(data_url):
                references.append([path, entry.ref.removeprefix(data_url), entry.digest])
            else:
                foreign.append([path, entry.ref, entry.digest, entry.size, entry.extra])
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
        directory.mkdir(parents=True, exist_ok=True)
        # Last, and at once: a directory without it is no package.
        write_json(directory / DESCRIPTION, description)
        return cls(directory)

    def artifact(self, data: wandb.Artifact | None) -> wandb.Artifact:
        """Makes the artifact again, to be logged.

        Args:
            data: The data artifact, committed; needed if there are references.
        """
        known = self.description
        artifact = wandb.Artifact(known["name"], type=known["type"], metadata=known["metadata"])
        files = self.directory / "files"
        for path in sorted(files.rglob("*")):
            if path.is_file():
                # Immutable: W&B uploads the file from here instead of copying it first.
                name = path.relative_to(files).as_posix()
                artifact.add_file(str(path), name=name, policy="immutable", skip_cache=True)
        foreign = list(known["foreign"])
        for path, source, digest in known["references"]:
            assert data is not None
            foreign.append([path, data.get_entry(source).ref_url(), digest, 0, {}])
        for path, ref, digest, size, extra in foreign:
            # Not by add_reference, which would look each target up again.
            artifact.manifest.add_entry(
                ArtifactManifestEntry(path=path, digest=digest, ref=ref, size=size, extra=extra)
            )
        return artifact

    def upload(self, run: wandb.Run, data: wandb.Artifact | None) -> wandb.Artifact:
        """Logs the artifact and waits until it is committed.

        Raises:
            Exception: Whatever W&B raises if it fails.
        """
        artifact = self.artifact(data)
        if self.is_data:
            run.use_artifact(artifact, aliases=self.description["aliases"])
        else:
            run.log_artifact(artifact, aliases=self.description["aliases"])
        return artifact.wait()

    def drop_aliases(self, aliases: AbstractSet[str]) -> None:
        """Gives up aliases that a newer version has got."""
        self.description["aliases"] = [a for a in self.description["aliases"] if a not in aliases]
        write_json(self.directory / DESCRIPTION, self.description)

    def finish(self) -> None:
        """Removes the package, once its artifact is committed, or moves it to those to keep."""
        kept = self.directory.parent / KEPT
        if kept.exists():
            self.directory.rename(kept / self.name)
        else:
            shutil.rmtree(self.directory)


def new_folder(run: wandb.Run) -> Path:
    """Makes a folder for packages in the run's directory; each callback of a run has its own."""
    # Absolute, for scripts that change their directory.
    parent = Path(run.dir).absolute().parent / "disteval"
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        folder = parent / f"{number:02d}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def directory_name(number: int, name: str, aliases: list[str]) -> str:
    """Returns the name of a package's directory, such as `000003-epoch_2`."""
    label = next((alias for alias in aliases if alias not in MOVING), name)
    return f"{number:06d}-{re.sub(r'[^A-Za-z0-9._-]', '_', label)[:64]}"


def find(directory: Path) -> Iterator[Package]:
    """Yields the packages to upload below a directory, in the order in which they were written."""
    for folder, _, files in sorted(os.walk(directory)):
        if DESCRIPTION in files and Path(folder).parent.name != KEPT:
            try:
                package = Package(Path(folder))
            except FileNotFoundError:  # it has been uploaded meanwhile
                continue
            yield package


def write_json(path: Path, value: Any) -> None:
    """Writes a file completely or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value))
    partial.replace(path)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
