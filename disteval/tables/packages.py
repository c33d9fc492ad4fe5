"""Versions of the tables on disk, from when they are built until W&B has committed them.

A package is a directory with the files of an artifact and a `package.json` that says the rest.
What could not be uploaded stays there, for `python -m disteval upload`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb
from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

from disteval.errors import DistEvalError

DESCRIPTION = "package.json"


class Package:
    """An artifact on disk.

    Attributes:
        directory: Where it is.
        description: `name`, `type`, `aliases`, `metadata`, whether the run `uses` it, and its
            `references` to files of the data artifact: `[path, path there, digest]`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.description: dict[str, Any] = json.loads((directory / DESCRIPTION).read_text())

    @classmethod
    def write(
        cls,
        directory: Path,
        artifact: wandb.Artifact,
        *,
        aliases: list[str],
        uses: bool = False,
        data_url: str = "",
    ) -> Package:
        """Writes an artifact that is complete and was not logged.

        Args:
            directory: A new directory.
            artifact: Its files are linked where the file system can do so.
            aliases: Those that the version is to get.
            uses: Whether the run is to use the artifact, instead of having made it.
            data_url: What the references to the data artifact start with.
        """
        references = []
        for path, entry in artifact.manifest.entries.items():
            if entry.ref is None:
                assert entry.local_path is not None
                _link(Path(entry.local_path), directory / "files" / path)
            elif data_url and entry.ref.startswith(data_url):
                references.append([path, entry.ref.removeprefix(data_url), entry.digest])
            else:
                raise DistEvalError(
                    f"The artifact {artifact.name} refers to {entry.ref}. Expected: references to "
                    "the data artifact of this run only."
                )
        description = {
            "name": artifact.name,
            "type": artifact.type,
            "metadata": artifact.metadata,
            "aliases": aliases,
            "uses": uses,
            "references": references,
        }
        directory.mkdir(parents=True, exist_ok=True)
        # Last, and at once: a directory without it is no package.
        partial = directory / f"{DESCRIPTION}.partial"
        partial.write_text(json.dumps(description))
        partial.rename(directory / DESCRIPTION)
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
        for path, source, digest in known["references"]:
            assert data is not None
            # Not by add_reference, which would look each target up again.
            ref = data.get_entry(source).ref_url()
            artifact.manifest.add_entry(
                ArtifactManifestEntry(path=path, digest=digest, ref=ref, size=0)
            )
        return artifact

    def upload(self, run: wandb.Run, data: wandb.Artifact | None) -> wandb.Artifact:
        """Logs the artifact and waits until it is committed.

        Raises:
            Exception: Whatever W&B raises if it fails.
        """
        artifact = self.artifact(data)
        if self.description["uses"]:
            run.use_artifact(artifact, aliases=self.description["aliases"])
        else:
            run.log_artifact(artifact, aliases=self.description["aliases"])
        return artifact.wait()

    def drop_aliases(self, aliases: set[str]) -> None:
        """Gives up aliases that a newer version has got."""
        self.description["aliases"] = [a for a in self.description["aliases"] if a not in aliases]
        (self.directory / DESCRIPTION).write_text(json.dumps(self.description))

    def delete(self) -> None:
        """Removes the package, once its artifact is committed."""
        shutil.rmtree(self.directory)


def folder(run: wandb.Run) -> Path:
    """Returns where the packages of a run are, in the run's directory."""
    return Path(run.dir).parent / "disteval"


def find(directory: Path) -> Iterator[Package]:
    """Yields the packages below a directory, in the order in which they were written."""
    for description in sorted(directory.rglob(DESCRIPTION)):
        yield Package(description.parent)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
