"""What a W&B run wrote to its `.wandb` file: the artifacts of an offline run, and its history.

W&B has no public way to read an artifact before it is synced. So this module reads the file that
`wandb sync` sends: LevelDB's log format around protobuf messages that are private to W&B.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disteval.tables.wandb_private import Record, artifacts_cache_dir

FILE_HEADER = 7
BLOCK = 32768
RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
WHOLE, LAST = 1, 4  # the kinds of blocks that end a record; other kinds begin or continue it

CLIENT_URL = "wandb-client-artifact://"


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
    """

    name: str
    type: str
    aliases: list[str]
    metadata: dict[str, Any]
    files: dict[str, Path]
    references: list[str]


def read_records(path: Path) -> Iterator[Any]:
    """Yields the complete records of a `.wandb` file, to which a run may still be writing."""
    data = path.read_bytes()
    position, record = FILE_HEADER, b""
    while position + RECORD_HEADER.size <= len(data):
        rest_of_block = BLOCK - position % BLOCK
        if rest_of_block < RECORD_HEADER.size:  # the rest is filled with zeros
            position += rest_of_block
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        if position + length > len(data):
            return
        record += data[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            yield Record.FromString(record)
            record = b""


def read_artifacts(run_directory: Path) -> list[StoredArtifact]:
    """Returns the artifacts of an offline run, in the order in which they were logged."""
    artifacts: list[StoredArtifact] = []
    by_client: dict[str, StoredArtifact] = {}
    for path in run_directory.glob("*.wandb"):
        for record in read_records(path):
            if record.HasField("artifact"):
                artifact = _stored(record.artifact, by_client)
                artifacts.append(artifact)
                by_client[record.artifact.client_id] = artifact
    return artifacts


def _stored(artifact: Any, by_client: dict[str, StoredArtifact]) -> StoredArtifact:
    files: dict[str, Path] = {}
    references: list[str] = []
    for path, digest, ref, local_path in _entries(artifact.manifest):
        if not ref:
            files[path] = _locate(local_path, digest)
            continue
        references.append(path)
        client, _, target = ref.removeprefix(CLIENT_URL).partition("/")
        if client in by_client and target in by_client[client].files:
            files[path] = by_client[client].files[target]
    return StoredArtifact(
        artifact.name,
        artifact.type,
        list(artifact.aliases),
        json.loads(artifact.metadata or "{}"),
        files,
        references,
    )


def _entries(manifest: Any) -> Iterator[tuple[str, str, str, str]]:
    """Yields path, digest, reference and local path of each entry; the last two may be empty."""
    for entry in manifest.contents:
        yield entry.path, entry.digest, entry.ref, entry.local_path
    if manifest.manifest_file_path:  # of more than 100,000 entries
        with gzip.open(manifest.manifest_file_path, "rt") as lines:
            for known in map(json.loads, lines):
                ref, local_path = known.get("ref") or "", known.get("local_path") or ""
                yield known["path"], known["digest"], ref, local_path


def _locate(local_path: str, digest: str) -> Path:
    """Returns where a file is: staged, or in W&B's cache after `wandb sync` has moved it."""
    staged = Path(local_path)
    if staged.exists():
        return staged
    md5 = base64.b64decode(digest).hex()
    return artifacts_cache_dir() / "obj" / "md5" / md5[:2] / md5[2:]
