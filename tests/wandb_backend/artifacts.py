"""Collections and artifacts. Attributes are the fields of `schema.graphql` in snake case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .common import b64_to_hex, connection, new_id, now
from .runs import Project, Run


@dataclass(eq=False)
class Collection:
    project: Project
    name: str
    type: str
    id: str = field(default_factory=lambda: new_id("ArtifactCollection"))
    created_at: str = field(default_factory=now)
    versions: list[Artifact] = field(default_factory=list)
    alias_owners: dict[str, Artifact] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"{self.project.path}/{self.name}"

    @property
    def default_artifact_type(self) -> dict[str, Any]:
        return {"name": self.type}

    @property
    def tags(self) -> dict[str, Any]:
        return connection([])

    @property
    def latest_artifact(self) -> Artifact | None:
        return self.versions[-1] if self.versions else None

    def artifacts(self, **page: Any) -> dict[str, Any]:
        """The versions, newest first."""
        return connection(self.versions[::-1], **page, version=lambda node: node.version)

    def artifact_membership(self, alias_name: str) -> Artifact | None:
        versions = {artifact.version: artifact for artifact in self.versions}
        return versions.get(alias_name) or self.alias_owners.get(alias_name)

    def with_digest(self, digest: str) -> Artifact | None:
        return next((a for a in self.versions if a.digest == digest), None)

    def blob(self, md5: str) -> str:
        """Where a file with this md5 (hex) is stored: once for all versions of the collection."""
        return f"artifacts/{self.path}/{md5}"


@dataclass(eq=False)
class Artifact:
    artifact_sequence: Collection
    digest: str
    created_by: Run | None
    requested_aliases: list[str]
    client_id: str
    metadata: str | None = None
    description: str | None = None
    history_step: int | None = None
    id: str = field(default_factory=lambda: new_id("Artifact"))
    state: str = "PENDING"
    version_index: int | None = None
    created_at: str = field(default_factory=now)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    users: list[Run] = field(default_factory=list)
    digest_algorithm: str = "MANIFEST_MD5"
    tags: tuple[()] = ()
    ttl_duration_seconds: int = -1
    ttl_is_inherited: bool = False

    @property
    def committed(self) -> bool:
        return self.state == "COMMITTED"

    def commit(self, entries: dict[str, dict[str, Any]]) -> None:
        """Becomes the next version of its collection, with the aliases that were asked for."""
        self.entries = entries
        self.version_index = len(self.artifact_sequence.versions)
        self.state = "COMMITTED"
        self.artifact_sequence.versions.append(self)
        self.take_aliases(["latest", *self.requested_aliases])

    def take_aliases(self, names: list[str]) -> None:
        self.artifact_sequence.alias_owners.update(dict.fromkeys(names, self))

    def drop_aliases(self, names: list[str]) -> None:
        for name in set(names) & set(self.alias_names):
            del self.artifact_sequence.alias_owners[name]

    @property
    def version(self) -> str | None:
        return None if self.version_index is None else f"v{self.version_index}"

    @property
    def path(self) -> str:
        """`entity/project/name:version`; before the commit the ID stands for the version."""
        return f"{self.artifact_sequence.path}:{self.version or self.id}"

    @property
    def manifest_path(self) -> str:
        return f"manifests/{self.artifact_sequence.path}/{b64_to_hex(self.id)}.json"

    @property
    def current_manifest(self) -> dict[str, Any] | None:
        url = self.artifact_sequence.project.storage.url(self.manifest_path)
        return {"id": self.id, "file": {"id": self.id, "direct_url": url}}

    @property
    def artifact(self) -> Artifact:
        return self

    @property
    def artifact_collection(self) -> Collection:
        return self.artifact_sequence

    @property
    def artifact_type(self) -> dict[str, Any]:
        return self.artifact_sequence.default_artifact_type

    @property
    def alias_names(self) -> list[str]:
        owners = self.artifact_sequence.alias_owners
        return sorted(name for name, owner in owners.items() if owner is self)

    @property
    def aliases(self) -> list[dict[str, Any]]:
        collection = self.artifact_sequence
        return [
            {"id": f"{collection.id}:{name}", "alias": name, "artifact_collection": collection}
            for name in self.alias_names
        ]

    @property
    def size(self) -> int:
        return sum(entry.get("size", 0) for entry in self.entries.values())

    @property
    def file_count(self) -> int:
        return len(self.entries)

    @property
    def used_by(self) -> dict[str, Any]:
        return connection(self.users)

    def files(self, names: list[str] | None = None, **page: Any) -> dict[str, Any]:
        """The entries, references too: `download()` fetches only what is listed here."""
        chosen = self.entries if names is None else self.entries.keys() & names
        return connection((self._file(name) for name in sorted(chosen)), **page)

    def _file(self, name: str) -> dict[str, Any]:
        entry = self.entries[name]
        blob = self.artifact_sequence.blob(b64_to_hex(entry["digest"]))
        return {
            "id": f"{self.id}:{name}",
            "name": name,
            "display_name": name,
            "digest": entry["digest"],
            "md5": entry["digest"],
            "size_bytes": entry.get("size", 0),
            "storage_path": blob,
            "direct_url": entry.get("ref") or self.artifact_sequence.project.storage.url(blob),
        }
