"""The artifacts that an online run kept on this machine, or could not upload yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from disteval.errors import DistEvalError
from disteval.report.transactions import StoredArtifact
from disteval.tables import packages

logger = logging.getLogger("disteval")


def read_packages(directory: Path) -> list[StoredArtifact]:
    """Returns the artifacts of the packages in a run's directory, by callback and in order.

    A damaged package is left out, with a warning.
    """
    artifacts = []
    data: dict[tuple[Path, str], StoredArtifact] = {}
    for folder, package in sorted(_find_packages(directory), key=lambda f: (f[0], f[1].name)):
        source = data.get((folder, package.data or ""))
        artifact = _stored(package, source)
        if package.is_data:
            data[folder, package.name] = artifact
        artifacts.append(artifact)
    return artifacts


def _stored(package: packages.Package, data: StoredArtifact | None) -> StoredArtifact:
    known, files = package.description, package.files()
    there = data.files if data is not None else {}
    targets = {path: target for path, target, _ in known["references"]}
    foreign = {path: digest for path, _, digest, *_ in known["foreign"]}
    return StoredArtifact(
        known["name"],
        known["type"],
        known["aliases"],
        known["metadata"],
        files | {path: there[target] for path, target in targets.items() if target in there},
        [*targets, *foreign],
        foreign | {path: digest for path, _, digest in known["references"]},
        data=data,
        lost=list(targets) if data is None else [],
    )


def _find_packages(directory: Path) -> Iterator[tuple[Path, packages.Package]]:
    """Yields each package, kept or not uploaded, with the folder to which it was written."""
    for path in directory.rglob(packages.DESCRIPTION):
        folder = path.parent.parent
        try:
            package = packages.Package(path.parent)
        except FileNotFoundError:  # uploaded and moved since it was listed
            continue
        except DistEvalError as error:
            logger.warning("A table is left out: %s", error)
            continue
        yield (folder.parent if folder.name == packages.KEPT else folder), package
