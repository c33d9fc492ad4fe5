"""The artifacts of an offline run, as its `.wandb` file describes them."""

from __future__ import annotations

import base64
import dataclasses
import functools
import gzip
import hashlib
import json
import logging
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from disteval.errors import DistEvalError
from disteval.tables.records import read_records
from disteval.tables.run_folder import MAX_BYTES
from disteval.tables.wandb_private import artifacts_cache_dir

logger = logging.getLogger("disteval")

CLIENT_URL = "wandb-client-artifact://"
# The type of the artifacts that W&B makes for tables and plots in `run.log`.
LOGGED = "run_table"
# How the file name of a table ends. Each artifact has one table.
TABLE, PARTITIONED = ".table.json", ".partitioned-table.json"


class Link(NamedTuple):
    """A reference to a file of another artifact, by the only ID that it has before its upload."""

    client: str
    path: str


@dataclasses.dataclass
class StoredArtifact:
    """An artifact whose files are on this machine.

    Attributes:
        name: Its name.
        type: Its type.
        aliases: Its aliases when it was logged.
        metadata: Its metadata.
        files: Where the file of each path in the manifest is, including files of other artifacts.
        references: The paths of the manifest that refer to other artifacts or URLs.
        digests: The digest of each path whose file need not be read for it.
        client: Its client ID; empty if nothing refers to it by that.
        links: What its references to other artifacts of the run refer to, by path.
        data: The artifact with the ground truth that it refers to, once it is known.
        lost: The paths whose files other artifacts hold that are not on this machine.
    """

    name: str
    type: str
    aliases: list[str]
    metadata: dict[str, Any]
    files: dict[str, Path]
    references: list[str]
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    client: str = ""
    links: dict[str, Link] = dataclasses.field(default_factory=dict)
    data: StoredArtifact | None = None
    lost: list[str] = dataclasses.field(default_factory=list)

    @property
    def table_path(self) -> str | None:
        """The path of its own table, as opposed to tables that it refers to."""
        names = [p for p in self.files if p.endswith((TABLE, PARTITIONED)) and "/" not in p]
        return names[0] if names else None

    @functools.cached_property
    def content(self) -> dict[str, str]:
        """The digest of each path: two artifacts of one name with equal ones are one version."""
        unread = {path: _md5(self.files[path]) for path in self.files if path not in self.digests}
        return self.digests | unread


def read_artifacts(run_directory: Path) -> list[StoredArtifact]:
    """Returns the artifacts of an offline run, in the order in which they were logged."""
    artifacts = [
        stored_artifact(record.artifact)
        for path in run_directory.glob("*.wandb")
        for record in read_records(path)
        if record.HasField("artifact")
    ]
    follow_links(artifacts)
    return artifacts


def stored_artifact(artifact: Any) -> StoredArtifact:
    """Returns the artifact of a record, without files of other artifacts.

    Raises:
        DistEvalError: Its manifest is not on this machine.
    """
    files: dict[str, Path] = {}
    digests: dict[str, str] = {}
    references: list[str] = []
    links: dict[str, Link] = {}
    for path, digest, ref, local_path in _entries(artifact.manifest):
        digests[path] = digest
        if not ref:
            files[path] = _locate(local_path, digest)
            continue
        references.append(path)
        if ref.startswith(CLIENT_URL):
            client, _, target = ref.removeprefix(CLIENT_URL).partition("/")
            links[path] = Link(client, target)
    return StoredArtifact(
        artifact.name,
        artifact.type,
        list(artifact.aliases),
        _metadata(artifact),
        files,
        references,
        digests,
        artifact.client_id,
        links,
    )


def _metadata(artifact: Any) -> dict[str, Any]:
    try:
        known = json.loads(artifact.metadata or "{}")
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        logger.warning("The metadata of %s are damaged, and left out.", artifact.name)
        return {}
    return known


def follow_links(artifacts: Iterable[StoredArtifact]) -> None:
    """Adds to each artifact the files of others, given in the order in which they were logged."""
    artifacts = list(artifacts)
    by_client = {artifact.client: artifact for artifact in artifacts if artifact.client}
    for artifact in artifacts:
        for path, link in artifact.links.items():
            source = by_client.get(link.client)
            if source is None:
                artifact.lost.append(path)
                continue
            if link.path in source.files:  # it may be a URL there
                artifact.files[path] = source.files[link.path]
            if source.type != LOGGED and source.table_path is not None:
                artifact.data = artifact.data or source


def _entries(manifest: Any) -> Iterator[tuple[str, str, str, str]]:
    """Yields path, digest, reference and local path of each entry; the last two may be empty."""
    for entry in manifest.contents:
        yield entry.path, entry.digest, entry.ref, entry.local_path
    if manifest.manifest_file_path:  # of more than 100,000 entries
        with _open_manifest(manifest.manifest_file_path) as lines:
            for known in map(json.loads, lines):
                ref, local_path = known.get("ref") or "", known.get("local_path") or ""
                yield known["path"], known["digest"], ref, local_path


def _open_manifest(path: str) -> IO[str]:
    try:
        return gzip.open(path, "rt")
    except FileNotFoundError:
        raise DistEvalError(
            f"The list of an artifact's files is no longer on this machine: {path}."
        ) from None


def _md5(path: Path) -> str:
    """Returns the digest of a file as W&B writes it; of no file if it is gone."""
    content = path.read_bytes() if path.is_file() else b""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _locate(local_path: str, digest: str) -> Path:
    """Returns where a file is: staged, or in W&B's cache after `wandb sync` has moved it.

    A log may name any file of this machine. Only one with the content that the log describes is a
    part of the run.
    """
    staged = Path(local_path)
    if _is_regular(staged):
        if _md5(staged) == digest:
            return staged
        logger.warning("%s is not the file that the run logged, and is left out.", staged)
    try:
        md5 = base64.b64decode(digest, validate=True).hex()
    except ValueError:
        md5 = "damaged"
    return artifacts_cache_dir() / "obj" / "md5" / md5[:2] / md5[2:]


def _is_regular(path: Path) -> bool:
    try:
        status = path.lstat()
    except (OSError, ValueError):  # also for a name with a null byte
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES
