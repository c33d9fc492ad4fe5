"""Everything the server knows, and its account of it for the tests."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from typing import Any

from .artifacts import Artifact
from .common import b64_to_hex
from .runs import CONSOLE, Project, Run
from .storage import RejectedError, Storage

DEFAULT_ENTITY = "tester"
REFERENCE = "wandb-artifact://"
CLIENT_REFERENCE = "wandb-client-artifact://"


class State:
    """All projects, runs and artifacts. Hold `lock` while using it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.lock = threading.RLock()
        self.projects: dict[tuple[str, str], Project] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.artifact_ids: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.faulted = 0

    def count(self, name: str, faulted: bool) -> None:
        with self.lock:
            self.requests[name] += 1
            self.faulted += faulted

    def project(self, entity: str | None, name: str) -> Project | None:
        return self.projects.get((entity or DEFAULT_ENTITY, name))

    def make_project(self, entity: str | None, name: str) -> Project:
        entity = entity or DEFAULT_ENTITY
        if (entity, name) not in self.projects:
            owner = {"id": entity, "name": entity}
            self.projects[entity, name] = Project(owner, name, self.storage)
        return self.projects[entity, name]

    def run(self, entity: str | None, project: str, name: str) -> Run:
        found = self.project(entity, project)
        run = found and found.run(name)
        if not run:
            raise RejectedError(f"no run {entity}/{project}/{name}")
        return run

    def add(self, artifact: Artifact) -> None:
        # Known by its client ID from now on: others may refer to it before it is committed.
        self.artifacts[artifact.id] = artifact
        self.artifact_ids[artifact.client_id] = artifact.id

    def commit(self, artifact: Artifact) -> None:
        """Makes an artifact a version, if everything that its manifest names is there.

        Raises:
            RejectedError: The manifest, one of its files or the target of a reference is missing.
        """
        if artifact.committed:
            return
        if not self.storage.holds(artifact.manifest_path):
            raise RejectedError(f"{artifact.path} has no manifest")
        entries = json.loads(self.storage.file(artifact.manifest_path).read_text())["contents"]
        missing = [name for name, entry in entries.items() if not self._is_there(artifact, entry)]
        if missing:
            raise RejectedError(f"{artifact.path} lacks {missing[:10]}")
        artifact.commit(entries)

    def _is_there(self, artifact: Artifact, entry: dict[str, Any]) -> bool:
        if "ref" in entry:
            return self._resolves(entry, pending_ok=True)
        return self.storage.holds(artifact.artifact_sequence.blob(b64_to_hex(entry["digest"])))

    def _resolves(self, entry: dict[str, Any], pending_ok: bool = False) -> bool:
        """Whether a reference leads to a file, or may do so once its target is committed."""
        reference: str = entry.get("ref", "")
        if not reference.startswith(REFERENCE):
            return not reference.startswith(CLIENT_REFERENCE)
        hex_id, _, path = reference.removeprefix(REFERENCE).partition("/")
        target = self.artifacts.get(base64.b64encode(bytes.fromhex(hex_id)).decode())
        if target is None or target.committed:
            return target is not None and path in target.entries
        return pending_ok

    def snapshot(self) -> dict[str, Any]:
        """The whole state as JSON values: runs by path, artifacts in the order of creation."""
        with self.lock:
            runs = [run for p in self.projects.values() for run in p.runs_by_name.values()]
            return {
                "runs": {run.path: self._describe_run(run) for run in runs},
                "artifacts": [self._describe_artifact(a) for a in self.artifacts.values()],
                "requests": dict(self.requests),
                "faulted": self.faulted,
                "uploads": dict(self.storage.uploads),
                "bytes_uploaded": dict(self.storage.bytes_uploaded),
                "rejected": list(self.storage.rejected),
            }

    def _describe_artifact(self, artifact: Artifact) -> dict[str, Any]:
        collection, creator = artifact.artifact_sequence, artifact.created_by
        return {
            "path": artifact.path,
            "id": artifact.id,
            "entity": collection.project.entity["name"],
            "project": collection.project.name,
            "collection": collection.name,
            "type": collection.type,
            "version": artifact.version,
            "aliases": artifact.alias_names,
            "state": artifact.state,
            "digest": artifact.digest,
            "metadata": json.loads(artifact.metadata or "{}"),
            "description": artifact.description,
            "manifest": artifact.entries,
            "dangling": [n for n, e in artifact.entries.items() if not self._resolves(e)],
            "created_by": creator and creator.name,
            "used_by": [run.name for run in artifact.users],
        }

    def _describe_run(self, run: Run) -> dict[str, Any]:
        config = json.loads(run.config)
        return {
            "id": run.name,
            "name": run.display_name,
            "state": run.state,
            "exit_code": run.exit_code,
            "config": {k: v["value"] for k, v in config.items() if k != "_wandb"},
            "summary": json.loads(run.summary_metrics),
            "history": run.rows,
            "console": run.lines(CONSOLE),
            "files": self.storage.names(f"runs/{run.path}/"),
            "tags": run.tags,
            "group": run.group,
            "job_type": run.job_type,
            "notes": run.notes,
            "logged": [artifact.path for artifact in run.outputs if artifact.committed],
            "used": [artifact.path for artifact in run.inputs],
        }
