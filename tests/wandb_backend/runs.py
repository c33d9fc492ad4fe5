"""Projects and runs. Attributes are the fields of `schema.graphql` in snake case."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .common import connection, jsonable, new_id, now

if TYPE_CHECKING:
    from .artifacts import Artifact, Collection
    from .storage import Storage

HISTORY = "wandb-history.jsonl"
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"
CONSOLE = "output.log"


@dataclass(eq=False)
class Project:
    entity: dict[str, str]
    name: str
    storage: Storage
    id: str = field(default_factory=lambda: new_id("Project"))
    read_only: bool = False
    runs_by_name: dict[str, Run] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)

    @property
    def internal_id(self) -> str:
        return base64.b64decode(self.id).decode().partition(":")[2]

    @property
    def path(self) -> str:
        return f"{self.entity['name']}/{self.name}"

    @property
    def run_count(self) -> int:
        return len(self.runs_by_name)

    def run(self, name: str) -> Run | None:
        return self.runs_by_name.get(name)

    bucket = run

    def runs(self, **page: Any) -> dict[str, Any]:
        return connection(self.runs_by_name.values(), **page)

    def artifact_collection(self, name: str) -> Collection | None:
        return self.collections.get(name)

    def artifact_type(self, name: str) -> dict[str, Any] | None:
        """The collections of one type; unknown until one of them exists."""
        typed = {c.name: c for c in self.collections.values() if c.type == name}
        if not typed:
            return None
        return {"name": name, "artifact_collection": lambda name: typed.get(name)}

    def artifact(self, name: str) -> Artifact | None:
        """The artifact called `collection:alias`; the alias defaults to `latest`."""
        collection, _, alias = name.partition(":")
        found = self.collections.get(collection)
        return found.artifact_membership(alias or "latest") if found else None

    # An artifact belongs to one collection here, so it stands for its own membership.
    artifact_collection_membership = artifact


@dataclass(eq=False)
class Run:
    project: Project
    name: str
    user: dict[str, Any]
    id: str = field(default_factory=lambda: new_id("Run"))
    display_name: str | None = None
    config: str = "{}"
    tags: list[str] = field(default_factory=list)
    group: str | None = None
    job_type: str | None = None
    notes: str | None = None
    state: str = "running"
    exit_code: int | None = None
    created_at: str = field(default_factory=now)
    heartbeat_at: str = field(default_factory=now)
    streams: dict[str, list[str]] = field(default_factory=dict)
    outputs: list[Artifact] = field(default_factory=list)
    inputs: list[Artifact] = field(default_factory=list)
    system_metrics: str = "{}"

    @property
    def path(self) -> str:
        return f"{self.project.path}/{self.name}"

    @property
    def project_id(self) -> str:
        return self.project.internal_id

    def receive(self, message: dict[str, Any]) -> None:
        """Takes one file_stream message."""
        for name, chunk in message.get("files", {}).items():
            self._write(name, chunk["offset"], chunk["content"])
        if message.get("complete"):
            self.exit_code = message["exitcode"]
            self.state = "failed" if self.exit_code else "finished"
        self.heartbeat_at = now()

    def _write(self, stream: str, offset: int, lines: list[str]) -> None:
        """Writes lines from line `offset` on, over what an earlier message may have left there."""
        kept = self.streams.setdefault(stream, [])
        kept.extend([""] * (offset - len(kept)))
        kept[offset : offset + len(lines)] = lines

    def lines(self, stream: str) -> list[str]:
        return self.streams.get(stream, [])

    @property
    def summary_metrics(self) -> str:
        return (self.lines(SUMMARY) or ["{}"])[-1]

    @property
    def log_line_count(self) -> int:
        return len(self.lines(CONSOLE))

    @property
    def history_line_count(self) -> int:
        return len(self.lines(HISTORY))

    @property
    def events_line_count(self) -> int:
        return len(self.lines(EVENTS))

    @property
    def history_tail(self) -> str:
        return json.dumps(self.lines(HISTORY)[-1:])

    @property
    def events_tail(self) -> str:
        return json.dumps(self.lines(EVENTS)[-1:])

    def wandb_config(self, keys: list[str]) -> str:
        internal = json.loads(self.config).get("_wandb", {}).get("value", {})
        return json.dumps({key: internal[key] for key in keys if key in internal})

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines(HISTORY) if line]

    @property
    def history_keys(self) -> dict[str, Any]:
        rows = self.rows
        count = {"typeCounts": [{"type": "number", "count": len(rows)}]}
        keys = {key: count for row in rows for key in row}
        return {"lastStep": max((row["_step"] for row in rows), default=-1), "keys": keys}

    def history(self, min_step: int = 0, max_step: int | None = None) -> list[str]:
        stop = math.inf if max_step is None else max_step
        return [json.dumps(row) for row in self.rows if min_step <= row["_step"] < stop]

    def sampled_history(self, specs: list[str]) -> list[list[dict[str, Any]]]:
        """For each spec the rows that hold all of its keys, cut down to those keys."""
        return [self._sample(json.loads(spec)) for spec in specs]

    def _sample(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = spec.get("minStep", 0), spec.get("maxStep", math.inf)
        return [
            jsonable({key: row[key] for key in spec["keys"]})
            for row in self.rows
            if first <= row["_step"] <= last and row.keys() >= set(spec["keys"])
        ]

    def parquet_history(self, live_keys: list[str]) -> dict[str, Any]:
        """Nothing was exported: every row is still live."""
        rows = [{key: row[key] for key in live_keys if key in row} for row in self.rows]
        return {"parquet_urls": [], "live_data": jsonable(rows)}

    def output_artifacts(self, **page: Any) -> dict[str, Any]:
        return connection((a for a in self.outputs if a.committed), **page)

    def input_artifacts(self, **page: Any) -> dict[str, Any]:
        return connection(self.inputs, **page)
